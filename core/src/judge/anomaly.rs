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
    /// The ledger's total has risen by less than the payments add up to.
    Shortfall,
    /// The ledger's total has risen by more than the payments add up to.
    Surplus,
    /// An entry that no request of this run asked for.
    Phantom,
    /// An entry whose amount or parties no attempt asked for, or an acknowledged amount that is not in the ledger.
    Mismatched,
    /// More entries than requests that reached the service.
    SelfDuplicated,
    /// Two entries or more.
    Duplicated,
    /// Two acknowledgements call the payment by different identities, as if there were two.
    UnstableReplay,
    /// The payment has an entry, and its repeat was refused for good: the client was told "no" about money that moved.
    RefusedRepeat,
    /// The client kept asking on a path that let it through, and was never told what became of the payment.
    Stuck,
    /// No entry; the client gave up after its last permitted attempt.
    Lost,
    /// No entry, and the service refused the payment for good, so that both sides know. It breaks no claim.
    Refused,
}

/// How much of the evidence an anomaly rests on, beside the client's history. Where a part of it is in doubt, the anomaly is not
/// drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// The history alone.
    History,
    /// The ledger.
    Ledger,
    /// The ledger, and the record of the payment's requests, none of which the lab has lost.
    Record,
    /// The ledger and the record, and nobody but this client has paid.
    OneSender,
    /// The ledger's total.
    Total,
    /// The ledger's total and the record, and nobody but this client has paid.
    TotalOfOneSender,
}

/// The payments that have one anomaly.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Examples {
    /// How many.
    pub count: u64,
    /// How many of them were booked.
    #[serde(default)]
    pub booked: u64,
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
    pub const ALL: [Self; 14] = [
        Self::AcknowledgedButLost,
        Self::AnsweredButLost,
        Self::RejectedButBooked,
        Self::Shortfall,
        Self::Surplus,
        Self::Phantom,
        Self::Mismatched,
        Self::SelfDuplicated,
        Self::Duplicated,
        Self::UnstableReplay,
        Self::RefusedRepeat,
        Self::Stuck,
        Self::Lost,
        Self::Refused,
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
            | Self::SelfDuplicated => !matches!(claim, Claim::ExactTotal),
            // A total is all that this claim is about, and no other claim can be made about one.
            Self::Shortfall | Self::Surplus => matches!(claim, Claim::ExactTotal),
            Self::Duplicated => matches!(claim, Claim::AtMostOnce | Claim::ExactlyOnce),
            Self::UnstableReplay => matches!(claim, Claim::ExactlyOnce),
            Self::RefusedRepeat | Self::Stuck | Self::Lost => {
                matches!(claim, Claim::AtLeastOnce | Claim::ExactlyOnce)
            }
            Self::Refused => false,
        }
    }

    /// The evidence that it rests on.
    #[must_use]
    pub const fn basis(self) -> Basis {
        match self {
            Self::UnstableReplay => Basis::History,
            Self::Shortfall => Basis::Total,
            Self::Surplus => Basis::TotalOfOneSender,
            Self::AcknowledgedButLost | Self::Refused => Basis::Ledger,
            Self::AnsweredButLost | Self::Stuck | Self::Lost => Basis::Record,
            Self::RejectedButBooked
            | Self::Phantom
            | Self::Mismatched
            | Self::SelfDuplicated
            | Self::Duplicated
            | Self::RefusedRepeat => Basis::OneSender,
        }
    }
}

impl Examples {
    /// Adds one more payment. Payments are added in ascending order.
    pub fn add(&mut self, example: Example) {
        self.count += 1;
        self.booked += u64::from(example.entries > 0);
        if self.first.len() < EXAMPLES_KEPT {
            self.first.push(example);
        }
    }

    /// Adds the payments of another share.
    pub(super) fn merge(&mut self, other: Self) {
        let Self { count, booked, first } = other;
        self.count += count;
        self.booked += booked;
        self.first.extend(first);
        self.first.sort_unstable();
        self.first.truncate(EXAMPLES_KEPT);
    }
}
