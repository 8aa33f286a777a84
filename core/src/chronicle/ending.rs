//! What became of a payment, as client and ledger tell it.

use serde::{Deserialize, Serialize};

use crate::witness::{
    attempt::{Belief, Ending},
    history::PaymentHistory,
};

/// What became of a payment, in the order in which it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PaymentEnd {
    /// Acknowledged to the client, and not in the ledger.
    AcknowledgedNotBooked,
    /// Three entries or more.
    BookedMore,
    /// Two entries.
    BookedTwice,
    /// No entry, and not refused.
    Lost,
    /// Never settled, whether booked or not.
    Stuck,
    /// No entry, because the service refused it.
    Refused,
    /// The load ended before the payment did.
    Unended,
    /// One entry, and the client was not told.
    BookedUnknown,
    /// One entry, and the client knows.
    BookedOnce,
}

impl PaymentEnd {
    /// Every end, in the order in which they are shown.
    pub const ALL: [Self; 9] = [
        Self::AcknowledgedNotBooked,
        Self::BookedMore,
        Self::BookedTwice,
        Self::Lost,
        Self::Stuck,
        Self::Refused,
        Self::Unended,
        Self::BookedUnknown,
        Self::BookedOnce,
    ];

    /// The end of a payment that has so many entries.
    #[must_use]
    pub const fn of(client: &PaymentHistory, entries: u64) -> Self {
        match (entries, client.belief, client.ending) {
            (3.., _, _) => Self::BookedMore,
            (2, _, _) => Self::BookedTwice,
            (_, _, Ending::Stuck | Ending::NotUnderstood) => Self::Stuck,
            (1, Belief::Acknowledged, _) => Self::BookedOnce,
            (0, Belief::Acknowledged, _) => Self::AcknowledgedNotBooked,
            (_, _, Ending::Unended) => Self::Unended,
            (1, _, _) => Self::BookedUnknown,
            (0, _, Ending::Refused) => Self::Refused,
            (0, _, _) => Self::Lost,
        }
    }
}
