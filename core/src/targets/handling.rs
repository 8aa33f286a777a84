//! A model of how a service treats the requests of one payment: the first one and its repeats.

use crate::{money::MinorUnits, targets::durability::Durability};

/// What a service of a plan does with requests, if it works as it is meant to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// It books each request: nothing tells a repeat from a new payment.
    BooksEvery,
    /// It books the first request of a payment and acknowledges the others as repeats.
    TellsRepeats(Repeats),
    /// It books none, because none has a key.
    RefusesKeyless,
}

/// How a service that recognises repeats answers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeats {
    /// What the acknowledgement of a repeat says.
    pub answer: RepeatAnswer,
    /// What becomes of a repeat that asks for another amount.
    pub other_amount: OtherAmount,
}

/// What the acknowledgement of a repeat says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepeatAnswer {
    /// That the payment was booked before.
    Marked,
    /// The same as that of a new payment.
    LikeNew,
}

/// What becomes of a repeat that asks for another amount than the first request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherAmount {
    /// It is acknowledged as a repeat; the other amount is dropped silently.
    Dropped,
    /// It is refused with 422.
    Refused,
}

/// What one request does at the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    /// The service does not receive the whole request.
    NotReceived,
    /// The service dies while it works on the request, and the request is not booked.
    Interrupted,
    /// The request is booked, as the payment's entry number `n`, from 1.
    Booked(u32),
    /// The request is acknowledged as a repeat; nothing is booked.
    Repeat(RepeatAnswer),
    /// The request is refused with this status; nothing is booked.
    Refused(u16),
}

/// What a service knows about one payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaymentState {
    treatment: Treatment,
    durability: Durability,
    /// Whether the service would take the next request for a repeat.
    is_known: bool,
    entries: u32,
    first_amount: MinorUnits,
}

impl PaymentState {
    /// The state before the first request.
    #[must_use]
    pub const fn new(treatment: Treatment, durability: Durability) -> Self {
        Self { treatment, durability, is_known: false, entries: 0, first_amount: MinorUnits(0) }
    }

    /// Handles a whole request for an amount.
    pub fn receive(&mut self, amount: MinorUnits) -> Handling {
        match self.treatment {
            Treatment::RefusesKeyless => Handling::Refused(400),
            Treatment::BooksEvery => self.book(amount),
            Treatment::TellsRepeats(_) if !self.is_known => self.book(amount),
            Treatment::TellsRepeats(Repeats { answer, other_amount }) => match other_amount {
                OtherAmount::Refused if amount != self.first_amount => Handling::Refused(422),
                OtherAmount::Refused | OtherAmount::Dropped => Handling::Repeat(answer),
            },
        }
    }

    /// The process dies while it works on a whole request for an amount.
    pub fn receive_dying(&mut self, amount: MinorUnits) -> Handling {
        let is_repeat = self.is_known && matches!(self.treatment, Treatment::TellsRepeats(_));
        let handling = match (self.treatment, self.durability) {
            (Treatment::RefusesKeyless, _) => self.receive(amount),
            // A repeat is answered at once.
            _ if is_repeat => self.receive(amount),
            (_, Durability::EntryFirst) => {
                let booked = self.book(amount);
                self.is_known = false;
                booked
            }
            (_, Durability::KeyFirst) => {
                self.is_known = true;
                Handling::Interrupted
            }
            (_, Durability::Atomic | Durability::KeysInMemory | Durability::Later) => Handling::Interrupted,
        };
        self.restart();
        handling
    }

    /// The process is started again.
    pub const fn restart(&mut self) {
        if matches!(self.durability, Durability::KeysInMemory) {
            self.is_known = false;
        }
    }

    /// The key of the payment expires.
    pub const fn expire(&mut self) {
        self.is_known = false;
    }

    fn book(&mut self, amount: MinorUnits) -> Handling {
        if !self.is_known {
            self.first_amount = amount;
        }
        self.is_known = true;
        self.entries += 1;
        Handling::Booked(self.entries)
    }
}
