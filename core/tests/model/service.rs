//! The payment service: what each dedup mode does with one request after the other.

use paylab_core::targets::ours::{Dedup, MissingKey};

use crate::draft::Draft;

/// A request that reaches the service.
pub(crate) struct Request {
    pub(crate) payment: u64,
    pub(crate) key: Option<String>,
    pub(crate) amount: i64,
}

/// A row of the ledger.
pub(crate) struct Row {
    pub(crate) payment: u64,
    pub(crate) amount: i64,
}

/// What the service answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Whether it says that it is the answer to a repeat: 208, or `Idempotency-Replayed: true`.
    pub(crate) repeat: bool,
}

/// The service and its ledger.
pub(crate) struct Service {
    dedup: Dedup,
    missing_key: MissingKey,
    pub(crate) ledger: Vec<Row>,
    /// The keys that were seen, with the amount of their first request.
    keys: Vec<(String, i64)>,
}

const BOOKED: Answer = Answer { status: 200, repeat: false };
const ACCEPTED: Answer = Answer { status: 202, repeat: false };
const REPEAT: Answer = Answer { status: 208, repeat: true };
const REPLAYED: Answer = Answer { status: 200, repeat: true };
const KEY_IS_MISSING: Answer = Answer { status: 400, repeat: false };
const OTHER_BODY: Answer = Answer { status: 422, repeat: false };

impl Service {
    pub(crate) fn new(draft: &Draft) -> Self {
        Self { dedup: draft.dedup, missing_key: draft.missing_key, ledger: Vec::new(), keys: Vec::new() }
    }

    /// Takes a whole request and answers it.
    pub(crate) fn receive(&mut self, request: &Request) -> Answer {
        let key = match (self.dedup, &request.key, self.missing_key) {
            (Dedup::None, None | Some(_), MissingKey::Book | MissingKey::Refuse) => return self.book(request, BOOKED),
            (
                Dedup::UniqueKey
                | Dedup::Replay
                | Dedup::CheckThenInsert
                | Dedup::Memory
                | Dedup::KeyThenApply
                | Dedup::ApplyThenKey
                | Dedup::AckThenApply,
                key,
                missing,
            ) => match (key, missing) {
                (Some(key), MissingKey::Book | MissingKey::Refuse) => key.clone(),
                (None, MissingKey::Refuse) => return KEY_IS_MISSING,
                (None, MissingKey::Book) => return self.book(request, self.first()),
            },
        };
        let earlier = self.keys.iter().find(|(known, _)| *known == key).map(|(_, amount)| *amount);
        match earlier {
            None => {
                self.keys.push((key, request.amount));
                self.book(request, self.first())
            }
            Some(amount) => self.repeated(amount == request.amount),
        }
    }

    /// The process dies in the middle of what it does with a whole request: after the first of two steps, where a booking has two.
    pub(crate) fn half_book(&mut self, request: &Request) {
        let Some(key) = request.key.clone() else {
            // One transaction, which is not committed, or a refusal.
            return;
        };
        if self.keys.iter().any(|(known, _)| *known == key) {
            // A repeat has no steps.
            return;
        }
        match self.dedup {
            Dedup::None | Dedup::UniqueKey | Dedup::Replay | Dedup::CheckThenInsert | Dedup::Memory => {}
            Dedup::KeyThenApply => self.keys.push((key, request.amount)),
            Dedup::ApplyThenKey => {
                self.book(request, BOOKED);
            }
            Dedup::AckThenApply => panic!("nobody can count what it has not booked yet"),
        }
    }

    /// The process is started again: what was in its memory is gone.
    pub(crate) fn start_again(&mut self) {
        if self.dedup == Dedup::Memory {
            self.keys.clear();
        }
    }

    fn book(&mut self, request: &Request, answer: Answer) -> Answer {
        let Request { payment, key: _, amount } = *request;
        self.ledger.push(Row { payment, amount });
        answer
    }

    /// The answer to a request that is not a repeat.
    fn first(&self) -> Answer {
        match self.dedup {
            Dedup::AckThenApply => ACCEPTED,
            Dedup::None
            | Dedup::UniqueKey
            | Dedup::Replay
            | Dedup::CheckThenInsert
            | Dedup::Memory
            | Dedup::KeyThenApply
            | Dedup::ApplyThenKey => BOOKED,
        }
    }

    /// The answer to a repeat, of which nothing is booked.
    fn repeated(&self, same_body: bool) -> Answer {
        match self.dedup {
            Dedup::None => panic!("looks at no key"),
            Dedup::Replay if same_body => REPLAYED,
            Dedup::Replay => OTHER_BODY,
            Dedup::AckThenApply => ACCEPTED,
            Dedup::UniqueKey | Dedup::CheckThenInsert | Dedup::Memory | Dedup::KeyThenApply | Dedup::ApplyThenKey => {
                REPEAT
            }
        }
    }
}
