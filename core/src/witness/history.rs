//! The client's history: what it did for each payment of its share, and what it may believe about it.

use std::{collections::BTreeMap, ops::Range};

use serde::{Deserialize, Serialize};

use crate::{
    payment::PaymentId,
    per_payment::PerPayment,
    witness::{
        answers::Answers,
        attempt::{Acknowledgement, AttemptOutcome, Belief, Ending, Rejection, Uncertainty},
    },
};

/// How many attempts had which outcome. Some kinds of unknown and rejected attempts are counted too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AttemptTotals {
    /// All attempts, those that never left their machine included.
    pub total: u64,
    /// Acknowledged, repeats included.
    pub acknowledged: u64,
    /// It is not known whether they had an effect.
    pub unknown: u64,
    /// Certainly without effect.
    pub rejected: u64,
    /// Acknowledged as repeats.
    pub repeats: u64,
    /// Part of unknown: no answer in time.
    pub timeouts: u64,
    /// Part of rejected: nothing listened, or the connection could not be made.
    pub unreached: u64,
    /// Part of rejected: no port or descriptor was left.
    pub no_port: u64,
}

/// Why a load ended before every payment was tried to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stop {
    /// `activeDeadline` passed.
    Deadline,
    /// The process was told to stop.
    Signal,
    /// A payment met the bound of attempts ([`crate::client::ATTEMPTS_MAX`]) without an acknowledgement.
    Attempts,
    /// Nothing answered where the proxy should be for too long.
    Unreachable,
    /// The machine ran out of ports or descriptors for too long.
    NoPort,
    /// For too long no attempt that the faults let through was answered with anything but an error.
    NoLife,
}

/// The client's own witness: one small row for each payment of its share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    rows: PerPayment<PaymentHistory>,
    /// All attempts by outcome.
    pub attempts: AttemptTotals,
    /// What came back, by status.
    pub answers: Answers,
    /// Set when the load ended early.
    pub stopped: Option<Stop>,
    /// What the first acknowledgement of a payment called it, and whether a later one has called it otherwise. It is empty unless the
    /// target says what identifies a payment in its answers.
    identities: BTreeMap<u64, Identity>,
}

/// The identity that acknowledgements have given to a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    first: String,
    is_stable: bool,
}

/// What the client did for one payment, and what it believes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PaymentHistory {
    /// How many attempts were made (connections opened), hedged copies included.
    pub attempts: u16,
    /// The attempt that was acknowledged first, 0 where none was.
    pub acknowledged_by: u16,
    /// What the client may believe.
    pub belief: Belief,
    /// How its work on the payment ended.
    pub ending: Ending,
}

impl Stop {
    /// The reason in words.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Deadline => "the load met its deadline (spec.activeDeadline)",
            Self::Signal => "the load was told to stop",
            Self::Attempts => "a payment met the bound of attempts without an acknowledgement",
            Self::Unreachable => "nothing answered where the proxy should be",
            Self::NoPort => "the client's machine had no port or file descriptor left to connect with",
            Self::NoLife => "the service answered nothing but errors for too long",
        }
    }
}

impl AttemptTotals {
    /// Counts one attempt.
    pub const fn count(&mut self, outcome: AttemptOutcome) {
        self.total += 1;
        match outcome {
            AttemptOutcome::Acknowledged(answer) => {
                self.acknowledged += 1;
                if matches!(answer, Acknowledgement::Repeat) {
                    self.repeats += 1;
                }
            }
            AttemptOutcome::Rejected(rejection) => {
                self.rejected += 1;
                match rejection {
                    Rejection::Refused => {}
                    Rejection::Unreached => self.unreached += 1,
                    Rejection::NoPort => self.no_port += 1,
                }
            }
            AttemptOutcome::Unknown(doubt) => {
                self.unknown += 1;
                if matches!(doubt, Uncertainty::Timeout) {
                    self.timeouts += 1;
                }
            }
        }
    }

    /// Attempts that got as far as the proxy: the others never left their machine.
    #[must_use]
    pub const fn reached(&self) -> u64 {
        self.total - self.unreached - self.no_port
    }

    /// Attempts that the service refused.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.rejected - self.unreached - self.no_port
    }

    /// The sum of two shares.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        let Self { total, acknowledged, unknown, rejected, repeats, timeouts, unreached, no_port } = other;
        Self {
            total: self.total + total,
            acknowledged: self.acknowledged + acknowledged,
            unknown: self.unknown + unknown,
            rejected: self.rejected + rejected,
            repeats: self.repeats + repeats,
            timeouts: self.timeouts + timeouts,
            unreached: self.unreached + unreached,
            no_port: self.no_port + no_port,
        }
    }
}

impl PaymentHistory {
    /// Takes one more attempt of this payment, numbered `attempt`.
    pub fn note(&mut self, attempt: u32, outcome: AttemptOutcome) {
        self.attempts = self.attempts.saturating_add(1);
        self.belief = self.belief.after(outcome);
        if matches!(outcome, AttemptOutcome::Acknowledged(_)) && self.acknowledged_by == 0 {
            self.acknowledged_by = u16::try_from(attempt).unwrap_or(u16::MAX);
        }
    }
}

impl History {
    /// An empty history for a share of the payments.
    #[must_use]
    pub fn new(share: Range<u64>) -> Self {
        Self {
            rows: PerPayment::new(share),
            attempts: AttemptTotals::default(),
            answers: Answers::default(),
            stopped: None,
            identities: BTreeMap::new(),
        }
    }

    /// The payments it is about.
    #[must_use]
    pub const fn share(&self) -> Range<u64> {
        self.rows.share()
    }

    /// The row of a payment; `None` outside the share.
    #[must_use]
    pub fn row(&self, payment: PaymentId) -> Option<&PaymentHistory> {
        self.rows.row(payment)
    }

    /// Notes an attempt of a payment of the share; outside of it nothing happens.
    pub fn note(&mut self, payment: PaymentId, attempt: u32, outcome: AttemptOutcome) {
        if let Some(row) = self.rows.row_mut(payment) {
            row.note(attempt, outcome);
            self.attempts.count(outcome);
        }
    }

    /// Notes how the work on a payment of the share ended.
    pub fn end(&mut self, payment: PaymentId, ending: Ending) {
        if let Some(row) = self.rows.row_mut(payment) {
            row.ending = ending;
        }
    }

    /// Notes what an acknowledgement of a payment has called it.
    pub fn identify(&mut self, payment: PaymentId, identity: &str) {
        let known = self.identities.entry(payment.0);
        let known = known.or_insert_with(|| Identity { first: identity.to_owned(), is_stable: true });
        known.is_stable &= known.first == identity;
    }

    /// Whether two acknowledgements of a payment have called it differently.
    #[must_use]
    pub fn is_unstable(&self, payment: PaymentId) -> bool {
        self.identities.get(&payment.0).is_some_and(|identity| !identity.is_stable)
    }

    /// Every row, in the order of payments.
    pub fn rows(&self) -> impl Iterator<Item = (PaymentId, &PaymentHistory)> {
        self.rows.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACK: AttemptOutcome = AttemptOutcome::Acknowledged(Acknowledgement::New);
    const RESET: AttemptOutcome = AttemptOutcome::Unknown(Uncertainty::Reset);

    #[test]
    fn a_history_has_its_share_and_the_attempt_that_was_acknowledged() {
        let mut history = History::new(10..12);
        history.note(PaymentId(11), 1, RESET);
        history.note(PaymentId(11), 2, AttemptOutcome::Acknowledged(Acknowledgement::Repeat));
        history.note(PaymentId(12), 1, ACK);
        history.end(PaymentId(11), Ending::Acknowledged);
        let (belief, ending) = (Belief::Acknowledged, Ending::Acknowledged);
        let row = PaymentHistory { attempts: 2, acknowledged_by: 2, belief, ending };
        assert_eq!(history.row(PaymentId(11)), Some(&row));
        assert_eq!((history.row(PaymentId(9)), history.row(PaymentId(12))), (None, None));
        assert_eq!((history.attempts.total, history.attempts.repeats), (2, 1));
    }

    #[test]
    fn a_payment_that_is_called_by_two_names_is_unstable() {
        let mut history = History::new(0..3);
        for (payment, identity) in [(0, "a"), (0, "a"), (1, "b"), (1, "c"), (1, "b")] {
            history.identify(PaymentId(payment), identity);
        }
        assert_eq!([0, 1, 2].map(|payment| history.is_unstable(PaymentId(payment))), [false, true, false]);
    }
}
