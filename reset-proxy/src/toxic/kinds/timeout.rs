//! Drops all data, and closes the connection after a time; or holds it until the toxic is removed, which closes it.

use serde::Serialize;
use tokio::time::Instant;

use crate::{
    toxic::definition::{Memory, Step, delay},
    toxic::fields::{BadBody, Fields},
    toxic::queue::{End, Pipe},
};

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Timeout {
    /// In milliseconds; 0 never closes.
    timeout: i64,
}

impl Timeout {
    pub(crate) fn merge(&mut self, fields: &Fields) -> Result<(), BadBody> {
        fields.integer_into("timeout", &mut self.timeout)
    }

    pub(crate) fn step(&self, memory: &mut Memory, now: Instant, input: &mut Pipe, output: &mut Pipe) -> Step {
        while input.pop().is_some() {}
        input.pass_end(output);
        if self.timeout <= 0 {
            return Step::Wait;
        }
        let due = memory.began + delay(self.timeout);
        if due > now {
            return Step::Until(due);
        }
        output.end(End::Closed);
        Step::Wait
    }
}
