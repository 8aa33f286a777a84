//! Drops all data and closes the connection after a time. Without a time the connection stays open until the toxic is
//! removed, which closes it.

use serde::Serialize;
use tokio::time::Instant;

use crate::toxic::{
    fields::{BodyError, Fields},
    queue::{ChunkQueue, QueueEnd},
    step::{ToxicState, ToxicStep, delay},
};

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Timeout {
    /// In milliseconds; 0 never closes.
    timeout: i64,
}

impl Timeout {
    pub(crate) fn merge(&mut self, fields: &Fields) -> Result<(), BodyError> {
        fields.integer_into("timeout", &mut self.timeout)
    }

    pub(crate) fn step(
        &self,
        state: &mut ToxicState,
        now: Instant,
        input: &mut ChunkQueue,
        output: &mut ChunkQueue,
    ) -> ToxicStep {
        while input.pop().is_some() {}
        input.pass_end(output);
        if self.timeout <= 0 {
            return ToxicStep::Wait;
        }
        let due = state.began + delay(self.timeout);
        if due > now {
            return ToxicStep::Until(due);
        }
        output.end(QueueEnd::Closed);
        ToxicStep::Wait
    }
}
