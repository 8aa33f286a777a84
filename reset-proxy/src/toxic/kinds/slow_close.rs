//! Delays the end of a stream.

use serde::Serialize;
use tokio::time::Instant;

use crate::toxic::{
    fields::{BodyError, Fields},
    queue::{ChunkQueue, QueueEnd},
    step::{ToxicState, ToxicStep, delay, pass},
};

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SlowClose {
    /// In milliseconds.
    delay: i64,
}

impl SlowClose {
    pub(crate) fn merge(&mut self, fields: &Fields) -> Result<(), BodyError> {
        fields.integer_into("delay", &mut self.delay)
    }

    pub(crate) fn step(
        &self,
        state: &mut ToxicState,
        now: Instant,
        input: &mut ChunkQueue,
        output: &mut ChunkQueue,
    ) -> ToxicStep {
        pass(input, output);
        if input.ended() == QueueEnd::Open {
            return ToxicStep::Wait;
        }
        let due = *state.mark.get_or_insert(now) + delay(self.delay);
        if due > now {
            return ToxicStep::Until(due);
        }
        input.pass_end(output);
        ToxicStep::Wait
    }
}
