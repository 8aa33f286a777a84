//! Lets so many bytes of a connection through, and closes it then.

use serde::Serialize;

use crate::{
    toxic::definition::{Memory, Step},
    toxic::fields::{BadBody, Fields},
    toxic::queue::{End, Pipe},
};

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct LimitData {
    bytes: i64,
}

impl LimitData {
    pub(crate) fn merge(&mut self, fields: &Fields) -> Result<(), BadBody> {
        fields.integer_into("bytes", &mut self.bytes)
    }

    pub(crate) fn step(&self, memory: &mut Memory, input: &mut Pipe, output: &mut Pipe) -> Step {
        let limit = self.bytes.max(0).unsigned_abs();
        while output.has_room() && input.front().is_some() {
            let left = limit.saturating_sub(memory.passed);
            if let Some(chunk) = input.pop_some(usize::try_from(left).unwrap_or(usize::MAX)) {
                memory.passed += chunk.bytes.len() as u64;
                output.push(chunk);
            }
            if memory.passed >= limit {
                while input.pop().is_some() {}
                output.end(End::Closed);
            }
        }
        input.pass_end(output);
        Step::Wait
    }
}
