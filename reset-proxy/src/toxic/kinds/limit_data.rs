//! Lets a number of bytes of a stream pass and then closes the connection.

use serde::Serialize;

use crate::toxic::{
    fields::{BodyError, Fields},
    queue::{ChunkQueue, QueueEnd},
    step::{ToxicState, ToxicStep},
};

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct LimitData {
    bytes: i64,
}

impl LimitData {
    pub(crate) fn merge(&mut self, fields: &Fields) -> Result<(), BodyError> {
        fields.integer_into("bytes", &mut self.bytes)
    }

    pub(crate) fn step(&self, state: &mut ToxicState, input: &mut ChunkQueue, output: &mut ChunkQueue) -> ToxicStep {
        let limit = self.bytes.max(0).unsigned_abs();
        while output.has_room() && input.front().is_some() {
            let left = limit.saturating_sub(state.passed);
            if let Some(chunk) = input.pop_some(usize::try_from(left).unwrap_or(usize::MAX)) {
                state.passed += chunk.bytes.len() as u64;
                output.push(chunk);
            }
            if state.passed >= limit {
                while input.pop().is_some() {}
                output.end(QueueEnd::Closed);
            }
        }
        input.pass_end(output);
        ToxicStep::Wait
    }
}
