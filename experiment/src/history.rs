//! What the client may believe: the outcome of an attempt, the belief about a payment, the history of a load.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{payment::PaymentId, per_payment::PerPayment};

/// What the client may believe after one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// A 2xx was read in full.
    Acknowledged(Answer),
    /// It certainly had no effect.
    Rejected(Rejection),
    /// It may have been booked or not.
    Unknown(Doubt),
}

/// What an acknowledgement said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Booked by this attempt.
    New,
    /// Booked before: 208, or a replayed answer.
    Repeat,
}

/// Why an attempt certainly had no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rejection {
    /// The service refused it: 4xx that is not retried.
    Refused,
    /// No connection was made, so nothing was sent.
    Unreached,
    /// The machine had no port or descriptor left to connect with.
    NoPort,
}

/// Why nobody can tell what an attempt did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Doubt {
    /// The connection was reset.
    Reset,
    /// The connection ended before the whole answer.
    Eof,
    /// No whole answer within the attempt's time.
    Timeout,
    /// 409, 425, 429 or 5xx: to be tried again.
    Retryable,
    /// An answer that is not HTTP, or a status nobody expects.
    Garbled,
}

/// What the client may believe about a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Belief {
    /// No attempt was made.
    #[default]
    Untried,
    /// Any attempt was acknowledged.
    Acknowledged,
    /// Every attempt was rejected.
    Rejected,
    /// Anything else. A later rejection never clears an earlier doubt.
    Unknown,
}

/// How many attempts had which outcome. The kinds of doubt and rejection are counted for the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AttemptTotals {
    /// All attempts, those that never left their machine included.
    pub total: u64,
    /// Acknowledged, repeats included.
    pub acknowledged: u64,
    /// Nobody can tell.
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

/// Why a load ended before every payment had its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stop {
    /// `activeDeadline` passed.
    Deadline,
    /// The process was told to stop.
    Signal,
    /// A payment met the bound of attempts ([`ATTEMPTS_MAX`]) without an acknowledgement.
    Attempts,
    /// Nothing answered where the proxy should be for too long.
    Unreachable,
    /// The machine ran out of ports or descriptors for too long.
    NoPort,
}

/// Even "until acknowledged" ends here; the load then counts as incomplete.
pub const ATTEMPTS_MAX: u32 = 10_000;

/// The client's own witness: one small row for each payment of its share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    rows: PerPayment<PaymentHistory>,
    /// All attempts by outcome.
    pub attempts: AttemptTotals,
    /// Set when the load ended early.
    pub stopped: Option<Stop>,
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
}

impl Outcome {
    /// Whether the retry loop ends here: an answer, or a refusal that repeating will not change.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Acknowledged(_) | Self::Rejected(Rejection::Refused))
    }
}

impl Belief {
    /// The belief after one more outcome.
    #[must_use]
    pub const fn after(self, outcome: Outcome) -> Self {
        match (self, outcome) {
            (Self::Acknowledged, _) | (_, Outcome::Acknowledged(_)) => Self::Acknowledged,
            (Self::Unknown, Outcome::Rejected(_)) | (_, Outcome::Unknown(_)) => Self::Unknown,
            (Self::Untried | Self::Rejected, Outcome::Rejected(_)) => Self::Rejected,
        }
    }
}

impl AttemptTotals {
    /// Counts one attempt.
    pub const fn count(&mut self, outcome: Outcome) {
        self.total += 1;
        match outcome {
            Outcome::Acknowledged(answer) => {
                self.acknowledged += 1;
                if matches!(answer, Answer::Repeat) {
                    self.repeats += 1;
                }
            }
            Outcome::Rejected(rejection) => {
                self.rejected += 1;
                match rejection {
                    Rejection::Refused => {}
                    Rejection::Unreached => self.unreached += 1,
                    Rejection::NoPort => self.no_port += 1,
                }
            }
            Outcome::Unknown(doubt) => {
                self.unknown += 1;
                if matches!(doubt, Doubt::Timeout) {
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
    pub fn note(&mut self, attempt: u32, outcome: Outcome) {
        self.attempts = self.attempts.saturating_add(1);
        self.belief = self.belief.after(outcome);
        if matches!(outcome, Outcome::Acknowledged(_)) && self.acknowledged_by == 0 {
            self.acknowledged_by = u16::try_from(attempt).unwrap_or(u16::MAX);
        }
    }
}

impl History {
    /// An empty history for a share of the payments.
    #[must_use]
    pub fn new(share: Range<u64>) -> Self {
        Self { rows: PerPayment::new(share), attempts: AttemptTotals::default(), stopped: None }
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
    pub fn note(&mut self, payment: PaymentId, attempt: u32, outcome: Outcome) {
        if let Some(row) = self.rows.row_mut(payment) {
            row.note(attempt, outcome);
            self.attempts.count(outcome);
        }
    }

    /// Every row, in the order of payments.
    pub fn rows(&self) -> impl Iterator<Item = (PaymentId, &PaymentHistory)> {
        self.rows.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACK: Outcome = Outcome::Acknowledged(Answer::New);
    const REFUSED: Outcome = Outcome::Rejected(Rejection::Refused);
    const RESET: Outcome = Outcome::Unknown(Doubt::Reset);

    #[test]
    fn a_later_rejection_never_clears_an_earlier_doubt() {
        for (outcomes, belief) in [
            (&[][..], Belief::Untried),
            (&[REFUSED], Belief::Rejected),
            (&[REFUSED, REFUSED], Belief::Rejected),
            (&[RESET], Belief::Unknown),
            (&[RESET, REFUSED], Belief::Unknown),
            (&[REFUSED, RESET], Belief::Unknown),
            (&[RESET, ACK], Belief::Acknowledged),
            (&[ACK, RESET, REFUSED], Belief::Acknowledged),
        ] {
            let folded = outcomes.iter().fold(Belief::Untried, |belief, outcome| belief.after(*outcome));
            assert_eq!(folded, belief, "{outcomes:?}");
        }
    }

    #[test]
    fn a_history_knows_its_share_and_who_was_acknowledged_when() {
        let mut history = History::new(10..12);
        history.note(PaymentId(11), 1, RESET);
        history.note(PaymentId(11), 2, Outcome::Acknowledged(Answer::Repeat));
        history.note(PaymentId(12), 1, ACK);
        let row = PaymentHistory { attempts: 2, acknowledged_by: 2, belief: Belief::Acknowledged };
        assert_eq!(history.row(PaymentId(11)), Some(&row));
        assert_eq!((history.row(PaymentId(9)), history.row(PaymentId(12))), (None, None));
        assert_eq!((history.attempts.total, history.attempts.repeats), (2, 1));
    }
}
