//! Exposures: the chances that a path had to break its claim. A claim that was never put to the test is not upheld.

use serde::{Deserialize, Serialize};

use crate::{claim::Claim, client::ClientPlan};

/// How often a path had a chance to break a claim. Payments that were refused for good, unbooked, give none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exposures {
    /// Requests of a booked payment that reached the service after the first one: chances to book it twice.
    pub repeats: u64,
    /// Attempts that did not reach the service: chances to lose a payment.
    pub undelivered: u64,
    /// Requests that reached the service: chances to book a payment more often than was asked for.
    pub arrived: u64,
}

/// The kind of exposure that puts a claim to the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExposureKind {
    /// See [`Exposures::repeats`].
    Repeats,
    /// See [`Exposures::undelivered`].
    Undelivered,
    /// See [`Exposures::arrived`].
    Arrived,
}

impl Exposures {
    /// Those of one payment.
    #[must_use]
    pub const fn of_payment(attempts: u64, forwarded: u64, entries: u64) -> Self {
        Self {
            repeats: if entries > 0 { forwarded.saturating_sub(1) } else { 0 },
            undelivered: attempts.saturating_sub(forwarded),
            arrived: forwarded,
        }
    }

    /// The sum of two shares.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        let Self { repeats, undelivered, arrived } = other;
        Self {
            repeats: self.repeats + repeats,
            undelivered: self.undelivered + undelivered,
            arrived: self.arrived + arrived,
        }
    }

    /// The number of one kind.
    #[must_use]
    pub const fn count(&self, kind: ExposureKind) -> u64 {
        match kind {
            ExposureKind::Repeats => self.repeats,
            ExposureKind::Undelivered => self.undelivered,
            ExposureKind::Arrived => self.arrived,
        }
    }
}

impl ExposureKind {
    /// What puts a claim to the test. A client that tries each payment once repeats nothing; then every request that arrives is a
    /// chance to book it twice.
    #[must_use]
    pub const fn of(claim: Claim, client: &ClientPlan) -> Self {
        match (claim, client.max_attempts, client.asks_later()) {
            (Claim::AtMostOnce, Some(1), false) => Self::Arrived,
            (Claim::AtMostOnce | Claim::ExactlyOnce | Claim::ExactTotal, _, _) => Self::Repeats,
            (Claim::AtLeastOnce, _, _) => Self::Undelivered,
        }
    }

    /// One of them, and several, in words.
    #[must_use]
    pub const fn words(self) -> [&'static str; 2] {
        match self {
            Self::Repeats => ["repeat of a booked payment", "repeats of a booked payment"],
            Self::Undelivered => ["attempt that did not arrive", "attempts that did not arrive"],
            Self::Arrived => ["request that arrived", "requests that arrived"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_payment_that_was_booked_could_have_been_booked_twice() {
        let exposures = |repeats, undelivered, arrived| Exposures { repeats, undelivered, arrived };
        assert_eq!(Exposures::of_payment(3, 2, 0), exposures(0, 1, 2));
        assert_eq!(Exposures::of_payment(3, 2, 1), exposures(1, 1, 2));
        assert_eq!(Exposures::of_payment(3, 2, 2), exposures(1, 1, 2));
        assert_eq!(Exposures::of_payment(1, 0, 0), exposures(0, 1, 0));
    }
}
