//! Payments that the service keeps asking to try again. They are set aside, so that they do not hold up the others, and asked about
//! once more at the end: only what is still not answered then is stuck.

use std::collections::{VecDeque, vec_deque};

use paylab_core::{
    payment::PaymentId,
    witness::attempt::{AttemptOutcome, Ending, Uncertainty},
};
use tokio::time::Instant;

/// If this many payments are set aside, the first of them is asked about before another payment is begun.
const ASIDE_MAX: usize = 10_000;

/// A payment that has not ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct UnderWay {
    pub(super) payment: PaymentId,
    /// The number of its last attempt.
    pub(super) made: u32,
    /// When its next attempt should begin, or when it was set aside.
    pub(super) since: Instant,
    pub(super) unanswered: Unanswered,
}

/// The payments that are set aside, the first one first.
#[derive(Debug, Default)]
pub(super) struct SetAside(VecDeque<UnderWay>);

/// How often the path let a request through and the client was not told what became of its payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Unanswered {
    count: u32,
    ending: Option<Ending>,
    was_set_aside: bool,
}

impl UnderWay {
    /// A payment of which no attempt was made.
    pub(super) fn new(payment: PaymentId, since: Instant) -> Self {
        Self { payment, made: 0, since, unanswered: Unanswered::default() }
    }
}

impl SetAside {
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= ASIDE_MAX
    }

    pub(super) fn put(&mut self, aside: UnderWay) {
        self.0.push_back(aside);
    }

    pub(super) fn take(&mut self) -> Option<UnderWay> {
        self.0.pop_front()
    }
}

impl IntoIterator for SetAside {
    type Item = UnderWay;
    type IntoIter = vec_deque::IntoIter<UnderWay>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Unanswered {
    /// Counts an attempt whose response no fault has hidden.
    pub(super) const fn count(&mut self, outcome: AttemptOutcome) {
        let ending = match outcome {
            AttemptOutcome::Unknown(Uncertainty::Retryable | Uncertainty::Timeout) => Ending::Stuck,
            AttemptOutcome::Unknown(Uncertainty::Garbled) => Ending::NotUnderstood,
            // What the network or the lab has broken says nothing about the service.
            AttemptOutcome::Unknown(Uncertainty::Reset | Uncertainty::Eof | Uncertainty::Stopped)
            | AttemptOutcome::Acknowledged(_)
            | AttemptOutcome::Rejected(_) => return,
        };
        self.count += 1;
        // An answer that was not understood may have settled the payment, so that nobody knows whether the service ever did.
        if !matches!(self.ending, Some(Ending::NotUnderstood)) {
            self.ending = Some(ending);
        }
    }

    /// How the payment ends if it was not answered this often; `None`: it does not end so.
    pub(super) const fn after(self, most: u32) -> Option<Ending> {
        if self.count >= most { self.ending } else { None }
    }

    /// The same, to be asked about once more: the next attempt that is not answered ends the payment.
    pub(super) const fn set_aside(self) -> Self {
        Self { count: self.count.saturating_sub(1), ending: self.ending, was_set_aside: true }
    }

    pub(super) const fn was_set_aside(self) -> bool {
        self.was_set_aside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: AttemptOutcome = AttemptOutcome::Unknown(Uncertainty::Retryable);
    const RESET: AttemptOutcome = AttemptOutcome::Unknown(Uncertainty::Reset);
    const GARBLED: AttemptOutcome = AttemptOutcome::Unknown(Uncertainty::Garbled);

    #[test]
    fn only_answers_that_settle_nothing_count_and_those_not_understood_name_the_end() {
        let mut unanswered = Unanswered::default();
        [BUSY, RESET, BUSY].into_iter().for_each(|outcome| unanswered.count(outcome));
        assert_eq!((unanswered.after(3), unanswered.after(2)), (None, Some(Ending::Stuck)));
        let mut again = unanswered.set_aside();
        assert_eq!((again.after(2), again.was_set_aside()), (None, true));
        again.count(GARBLED);
        assert_eq!(again.after(2), Some(Ending::NotUnderstood));
        again.count(BUSY);
        assert_eq!(
            again.after(2),
            Some(Ending::NotUnderstood),
            "a service that was not understood is not called stuck"
        );
    }
}
