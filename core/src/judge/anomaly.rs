//! What can be wrong with a payment, and the examples that prove it.

use serde::{Deserialize, Serialize};

use crate::claim::Claim;

/// At most this many payments are named as examples of each anomaly.
pub const EXAMPLES_KEPT: usize = 10;

/// What can be wrong with a payment, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Anomaly {
    /// The payment was acknowledged to the client, and it has no entry.
    AcknowledgedButLost,
    /// The service answered a whole request with a 2xx that the client did not receive, and the payment has no entry.
    AnsweredButLost,
    /// Every attempt was rejected, and the payment has an entry.
    RejectedButBooked,
    /// An entry that no request of this run asked for.
    Phantom,
    /// An entry whose amount or parties no attempt asked for, or an acknowledged amount that is not in the ledger.
    Mismatched,
    /// More entries than requests that reached the service.
    SelfDuplicated,
    /// Two entries or more.
    Duplicated,
    /// No entry, though the client had to try until an acknowledgement.
    Undelivered,
    /// No entry; the client gave up after its last permitted attempt.
    Lost,
}

/// The payments that have one anomaly.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Examples {
    /// How many.
    pub count: u64,
    /// The first of them, at most [`EXAMPLES_KEPT`], in ascending order.
    pub first: Vec<Example>,
}

/// One payment that has an anomaly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Example {
    /// Its index.
    pub payment: u64,
    /// How often it was tried.
    pub attempts: u64,
    /// How often it was booked.
    pub entries: u64,
}

impl Anomaly {
    /// Every anomaly, the worst first.
    pub const ALL: [Self; 9] = [
        Self::AcknowledgedButLost,
        Self::AnsweredButLost,
        Self::RejectedButBooked,
        Self::Phantom,
        Self::Mismatched,
        Self::SelfDuplicated,
        Self::Duplicated,
        Self::Undelivered,
        Self::Lost,
    ];

    /// Whether one payment with this anomaly breaks a claim.
    #[must_use]
    pub const fn violates(self, claim: Claim) -> bool {
        match self {
            Self::AcknowledgedButLost
            | Self::AnsweredButLost
            | Self::RejectedButBooked
            | Self::Phantom
            | Self::Mismatched
            | Self::SelfDuplicated => true,
            Self::Duplicated => matches!(claim, Claim::AtMostOnce | Claim::ExactlyOnce),
            Self::Undelivered => matches!(claim, Claim::AtLeastOnce | Claim::ExactlyOnce),
            Self::Lost => false,
        }
    }
}

impl Examples {
    /// Adds one more payment. Payments are added in ascending order.
    pub fn add(&mut self, example: Example) {
        self.count += 1;
        if self.first.len() < EXAMPLES_KEPT {
            self.first.push(example);
        }
    }

    /// Adds the payments of another share.
    pub(super) fn merge(&mut self, other: Self) {
        let Self { count, first } = other;
        self.count += count;
        self.first.extend(first);
        self.first.sort_unstable();
        self.first.truncate(EXAMPLES_KEPT);
    }
}
