//! What the client may believe: the outcome of an attempt, and the belief about a payment.

use serde::{Deserialize, Serialize};

/// What the client may believe after one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttemptOutcome {
    /// A 2xx was read in full.
    Acknowledged(Acknowledgement),
    /// It certainly had no effect.
    Rejected(Rejection),
    /// It may have been booked or not.
    Unknown(Uncertainty),
}

/// What an acknowledgement said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Acknowledgement {
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

/// Why it is not known whether an attempt had an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Uncertainty {
    /// The connection was reset.
    Reset,
    /// The connection ended before the whole answer.
    Eof,
    /// No whole answer within the attempt's time.
    Timeout,
    /// 409, 425, 429 or 5xx: to be tried again.
    Retryable,
    /// An answer that is not HTTP, or a status that the table of statuses does not know.
    Garbled,
    /// The load stopped before an answer.
    Stopped,
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
    /// Anything else. A later rejection never clears an earlier uncertainty.
    Unknown,
}

/// How the client's work on a payment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Ending {
    /// It did not: the load stopped before, or it has not begun.
    #[default]
    Unended,
    /// With an acknowledgement.
    Acknowledged,
    /// With a refusal that a repeat would not change.
    Refused,
    /// After the last permitted attempt.
    GaveUp,
    /// The service has asked too often to try again, and once more at the end of the load.
    Stuck,
    /// Too many answers were not understood, and one more at the end of the load.
    NotUnderstood,
}

impl AttemptOutcome {
    /// How the retry loop ends with this outcome: with an acknowledgement, or with a refusal that a repeat would not change; `None`:
    /// it goes on.
    #[must_use]
    pub const fn ending(self) -> Option<Ending> {
        match self {
            Self::Acknowledged(_) => Some(Ending::Acknowledged),
            Self::Rejected(Rejection::Refused) => Some(Ending::Refused),
            Self::Rejected(Rejection::Unreached | Rejection::NoPort) | Self::Unknown(_) => None,
        }
    }
}

impl Belief {
    /// The belief after one more outcome.
    #[must_use]
    pub const fn after(self, outcome: AttemptOutcome) -> Self {
        match (self, outcome) {
            (Self::Acknowledged, _) | (_, AttemptOutcome::Acknowledged(_)) => Self::Acknowledged,
            (Self::Unknown, AttemptOutcome::Rejected(_)) | (_, AttemptOutcome::Unknown(_)) => Self::Unknown,
            (Self::Untried | Self::Rejected, AttemptOutcome::Rejected(_)) => Self::Rejected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACK: AttemptOutcome = AttemptOutcome::Acknowledged(Acknowledgement::New);
    const REFUSED: AttemptOutcome = AttemptOutcome::Rejected(Rejection::Refused);
    const RESET: AttemptOutcome = AttemptOutcome::Unknown(Uncertainty::Reset);

    #[test]
    fn a_later_rejection_never_clears_an_earlier_uncertainty() {
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
}
