//! Paylab's own payment service, with its eight ways to treat a repeat.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    client::{BodyDrift, ClientPlan, KeyPolicy},
    targets::{
        Overlap,
        handling::{OtherAmount, RepeatAnswer, Repeats, Treatment},
    },
};

/// How Paylab's own payment service books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OurService {
    /// How repeats are told from new payments.
    pub dedup: Dedup,
    /// Service pods.
    pub replicas: u32,
    /// What becomes of a request whose client hangs up.
    pub on_disconnect: OnDisconnect,
    /// A wait inside the critical section of the dedup mode.
    pub processing_time: Duration,
    /// How long `Replay` remembers a key; `None`: for ever.
    pub key_ttl: Option<Duration>,
    /// What becomes of a request without a key.
    pub missing_key: MissingKey,
}

/// The ways to tell a repeat from a new payment. The last five are broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Dedup {
    /// Books every request.
    #[default]
    None,
    /// A unique column in the transaction that books; a repeat is answered 208.
    UniqueKey,
    /// Key, fingerprint and answer in the transaction that books; a repeat gets the stored answer.
    Replay,
    /// Looks for the key, then inserts, without a unique column that would hold the two together.
    CheckThenInsert,
    /// A set in the memory of the process.
    Memory,
    /// The key in one transaction, the booking in the next.
    KeyThenApply,
    /// The booking in one transaction, the key in the next.
    ApplyThenKey,
    /// Answers 202 and books later, from memory.
    AckThenApply,
}

/// What becomes of a request whose client hangs up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum OnDisconnect {
    /// The booking runs to its end.
    #[default]
    Finish,
    /// The booking is dropped where it stands, as Rust's HTTP servers do.
    Cancel,
}

/// What becomes of a request without a key in a mode that uses keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum MissingKey {
    /// It is booked, and its repeat cannot be recognised.
    #[default]
    Book,
    /// It is refused with 400.
    Refuse,
}

impl OurService {
    /// What a correct service of these settings does with requests under a policy of keys.
    #[must_use]
    pub const fn treatment(&self, key: KeyPolicy) -> Treatment {
        match (self.repeats(), key, self.missing_key) {
            (None, _, _) | (Some(_), KeyPolicy::PerAttempt, _) | (Some(_), KeyPolicy::None, MissingKey::Book) => {
                Treatment::BooksEvery
            }
            (Some(repeats), KeyPolicy::PerPayment, _) => Treatment::TellsRepeats(repeats),
            (Some(_), KeyPolicy::None, MissingKey::Refuse) => Treatment::RefusesKeyless,
        }
    }

    /// How repeats are answered; `None`: keys are not looked at.
    const fn repeats(&self) -> Option<Repeats> {
        let (answer, other_amount) = match self.dedup {
            Dedup::None => return None,
            Dedup::Replay => (RepeatAnswer::Marked, OtherAmount::Refused),
            // 202 says "accepted", whatever becomes of the request.
            Dedup::AckThenApply => (RepeatAnswer::LikeNew, OtherAmount::Dropped),
            Dedup::UniqueKey | Dedup::CheckThenInsert | Dedup::Memory | Dedup::KeyThenApply | Dedup::ApplyThenKey => {
                (RepeatAnswer::Marked, OtherAmount::Dropped)
            }
        };
        Some(Repeats { answer, other_amount })
    }

    /// Why the result depends on timing; `None`: it can be predicted exactly.
    #[must_use]
    pub fn depends_on_timing(&self, client: &ClientPlan, overlap: Overlap) -> Option<&'static str> {
        if self.key_ttl.is_some() {
            return Some("when keys expire (service.keyTtl)");
        }
        let slow = self.processing_time.saturating_mul(2) >= client.attempt_timeout;
        if slow && !self.processing_time.is_zero() {
            return Some("which attempts time out (service.processingTime is near client.retry.attemptTimeout)");
        }
        match (self.treatment(client.key), overlap) {
            (Treatment::TellsRepeats(_), Overlap::Possible) => self.depends_on_order(client.body_drift),
            (Treatment::TellsRepeats(_), Overlap::Never) => self.depends_on_replica(),
            (Treatment::BooksEvery | Treatment::RefusesKeyless, _) => None,
        }
    }

    fn depends_on_replica(&self) -> Option<&'static str> {
        (self.dedup == Dedup::Memory && self.replicas > 1).then_some("which replica answers")
    }

    /// Why it matters which of two requests at once is faster.
    fn depends_on_order(&self, drift: BodyDrift) -> Option<&'static str> {
        let drifts = match drift {
            BodyDrift::None => None,
            BodyDrift::Amount => Some("which of two amounts is booked first"),
        };
        match self.dedup {
            Dedup::CheckThenInsert | Dedup::ApplyThenKey => Some("which of two requests at once is faster"),
            Dedup::Replay => Some("whether a repeat meets its first request in flight (409)"),
            Dedup::KeyThenApply if self.on_disconnect == OnDisconnect::Cancel => {
                Some("when a cancelled request is dropped")
            }
            Dedup::Memory => self.depends_on_replica().or(drifts),
            Dedup::None | Dedup::UniqueKey | Dedup::KeyThenApply | Dedup::AckThenApply => drifts,
        }
    }
}
