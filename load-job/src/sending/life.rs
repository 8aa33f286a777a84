//! Signs of life: a service that answers nothing but errors for too long ends the load, so that nobody waits for a deadline.

use std::time::Duration;

use paylab_core::witness::attempt::AttemptOutcome;
use tokio::time::Instant;

/// The load stops when for this long every attempt that the faults let through has failed,
const NO_LIFE_FOR_MAX: Duration = Duration::from_secs(10);
/// and at least this many have.
const FAILURES_MIN: u32 = 20;

/// The failures since the last sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SignsOfLife {
    failing_since: Option<Instant>,
    failures: u32,
}

impl SignsOfLife {
    /// The same after one more attempt, with the status of its answer. `is_hidden` tells whether a fault keeps its response from the
    /// client. Any answer below 500 is a sign of life.
    pub(super) fn after(
        self,
        outcome: AttemptOutcome,
        status: Option<u16>,
        at: Instant,
        is_hidden: impl Fn() -> bool,
    ) -> Self {
        match outcome {
            AttemptOutcome::Acknowledged(_) | AttemptOutcome::Rejected(_) => Self::default(),
            AttemptOutcome::Unknown(_) if status.is_some_and(|status| status < 500) => Self::default(),
            AttemptOutcome::Unknown(_) if is_hidden() => self,
            AttemptOutcome::Unknown(_) => {
                Self { failing_since: self.failing_since.or(Some(at)), failures: self.failures.saturating_add(1) }
            }
        }
    }

    /// Whether there was no sign of life for too long.
    pub(super) fn is_over(self, now: Instant) -> bool {
        let since = self.failing_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        self.failures >= FAILURES_MIN && since >= NO_LIFE_FOR_MAX
    }
}

#[cfg(test)]
mod tests {
    use paylab_core::witness::attempt::{Acknowledgement, Uncertainty};

    use super::*;

    const ERROR: AttemptOutcome = AttemptOutcome::Unknown(Uncertainty::Retryable);
    const NEW: AttemptOutcome = AttemptOutcome::Acknowledged(Acknowledgement::New);

    #[test]
    fn many_errors_for_long_end_the_load_and_one_answer_begins_anew() {
        let begun = Instant::now();
        let at = |secs| begun + Duration::from_secs(secs);
        let errors = |from: u64, most: u64, life: SignsOfLife| {
            (from..most).fold(life, |life, second| life.after(ERROR, Some(500), at(second), || false))
        };
        let life = errors(0, 20, SignsOfLife::default());
        assert!(life.is_over(at(19)) && !errors(0, 19, SignsOfLife::default()).is_over(at(30)));
        assert!(!life.is_over(at(9)));
        assert!(!life.after(NEW, Some(200), at(20), || false).is_over(at(60)));
        assert!(!life.after(ERROR, Some(409), at(20), || false).is_over(at(60)));
    }

    #[test]
    fn attempts_whose_response_a_fault_hides_say_nothing() {
        let begun = Instant::now();
        let hidden = (0..100).fold(SignsOfLife::default(), |life, _| life.after(ERROR, None, begun, || true));
        assert_eq!(hidden, SignsOfLife::default());
    }
}
