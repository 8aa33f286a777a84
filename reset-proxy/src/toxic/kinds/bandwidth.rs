//! Lets at most so many bytes a second through, a tenth of a second's worth at a time.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::{
    toxic::definition::{Memory, Step},
    toxic::fields::{BadBody, Fields},
    toxic::queue::Pipe,
};

/// So much time's worth goes at once.
const SLICE_MS: u64 = 100;

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Bandwidth {
    /// In units of 1000 bytes a second; at 0 nothing flows.
    rate: i64,
}

impl Bandwidth {
    pub(crate) fn merge(&mut self, fields: &Fields) -> Result<(), BadBody> {
        fields.integer_into("rate", &mut self.rate)
    }

    pub(crate) fn step(&self, memory: &mut Memory, now: Instant, input: &mut Pipe, output: &mut Pipe) -> Step {
        // One unit is one byte in a millisecond.
        let rate = self.rate.max(0).unsigned_abs();
        let most = usize::try_from(rate.saturating_mul(SLICE_MS)).unwrap_or(usize::MAX);
        while output.has_room()
            && let Some(front) = input.front()
        {
            if rate == 0 {
                return Step::Wait;
            }
            let slice = front.bytes.len().min(most);
            // A pipe that was blocked must not catch up faster than the rate.
            let earliest = now.checked_sub(Duration::from_millis(SLICE_MS)).unwrap_or(now);
            let start = memory.mark.unwrap_or(front.received).max(front.received).max(earliest);
            let due = start + Duration::from_nanos((slice as u64).saturating_mul(1_000_000) / rate);
            if due > now {
                memory.mark = Some(start);
                return Step::Until(due);
            }
            memory.mark = Some(due);
            if let Some(chunk) = input.pop_some(slice) {
                output.push(chunk);
            }
        }
        input.pass_end(output);
        Step::Wait
    }
}
