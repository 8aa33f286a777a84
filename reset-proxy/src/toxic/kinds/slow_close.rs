//! Delays the end of a stream.

use serde::Serialize;
use tokio::time::Instant;

use crate::{
    toxic::definition::{Memory, Step, delay, pass},
    toxic::fields::{BadBody, Fields},
    toxic::queue::{End, Pipe},
};

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SlowClose {
    /// In milliseconds.
    delay: i64,
}

impl SlowClose {
    pub(crate) fn merge(&mut self, fields: &Fields) -> Result<(), BadBody> {
        fields.integer_into("delay", &mut self.delay)
    }

    pub(crate) fn step(&self, memory: &mut Memory, now: Instant, input: &mut Pipe, output: &mut Pipe) -> Step {
        pass(input, output);
        if input.ended() == End::Open {
            return Step::Wait;
        }
        let due = *memory.mark.get_or_insert(now) + delay(self.delay);
        if due > now {
            return Step::Until(due);
        }
        input.pass_end(output);
        Step::Wait
    }
}
