//! Payments that were acknowledged and will be asked for once more: one after the other, in the order of their acknowledgements, because
//! all wait for the same time.

use std::{collections::VecDeque, time::Duration};

use paylab_core::payment::AttemptId;
use tokio::time::Instant;

/// The repeats that are still to be sent, the first one first.
#[derive(Debug, Default)]
pub(super) struct Redeliveries(VecDeque<(Instant, AttemptId)>);

impl Redeliveries {
    /// Notes a repeat that is due after this time.
    pub(super) fn put(&mut self, after: Duration, id: AttemptId) {
        self.0.push_back((Instant::now() + after, id));
    }

    /// The next repeat, if it is due.
    pub(super) fn take_due(&mut self) -> Option<AttemptId> {
        let is_due = self.0.front().is_some_and(|(due, _)| *due <= Instant::now());
        is_due.then(|| self.take()).flatten().map(|(_, id)| id)
    }

    /// The next repeat, and when it is due.
    pub(super) fn take(&mut self) -> Option<(Instant, AttemptId)> {
        self.0.pop_front()
    }
}
