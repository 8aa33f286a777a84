//! Paylab's own payment service, with its eight ways to treat a repeat.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    client::{BodyDrift, ClientPlan, KeyPolicy},
    probability::Probability,
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
    /// How often the answer to a request that was booked is 500.
    pub fail_after: Probability,
}

/// The ways to tell a repeat from a new payment. The last five are broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Dedup {
    /// The service books every request, also a repeat.
    #[default]
    None,
    /// The service stores the key in a unique column in the transaction that books. It answers a repeat with 208 and ignores its body.
    /// This mode is correct.
    UniqueKey,
    /// The service stores the key, a fingerprint of the body and its response in the transaction that books. A repeat gets the stored
    /// response, one with another body 422, and one that comes while the first is in flight 409. This mode is correct.
    Replay,
    /// The service looks for the key and then books, without a unique column. Two requests at the same time are both booked.
    CheckThenInsert,
    /// The service remembers keys in the memory of its process. They are lost with a restart, and each replica has its own.
    Memory,
    /// The service stores the key in one transaction and books in the next. If it fails in between, the payment is never booked, and
    /// its repeat is acknowledged.
    KeyThenApply,
    /// The service books in one transaction and stores the key in the next. If it fails in between, or if two requests come at the same
    /// time, the payment is booked twice.
    ApplyThenKey,
    /// The service answers 202 at once and books later, from memory. If its process ends in between, the payment is lost.
    AckThenApply,
}

/// What becomes of a request whose client hangs up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum OnDisconnect {
    /// The service finishes the booking.
    #[default]
    Finish,
    /// The service drops the booking at the step that it has reached, as many Rust servers do.
    Cancel,
}

/// What becomes of a request without a key in a mode that uses keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum MissingKey {
    /// The request is booked, and its repeats are booked too, since nothing tells them from new payments.
    #[default]
    Book,
    /// The request is refused with status 400, and nothing is booked.
    Refuse,
}

impl Dedup {
    /// Every mode, in the order of the documentation.
    pub const ALL: [Self; 8] = [
        Self::None,
        Self::UniqueKey,
        Self::Replay,
        Self::CheckThenInsert,
        Self::Memory,
        Self::KeyThenApply,
        Self::ApplyThenKey,
        Self::AckThenApply,
    ];
}

/// The purpose of the dice that decide which answers are 500 ([`OurService::fail_after`]).
pub const FAIL_AFTER: &str = "fail-after";

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
