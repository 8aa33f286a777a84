//! Limits the rate of a stream. Bytes pass in slices of a tenth of a second.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::toxic::{
    fields::{BodyError, Fields},
    queue::ChunkQueue,
    step::{ToxicState, ToxicStep},
};

/// The time for which one slice lasts.
const SLICE_MS: u64 = 100;

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Bandwidth {
    /// In units of 1000 bytes per second; at 0 nothing passes.
    rate: i64,
}

impl Bandwidth {
    pub(crate) fn merge(&mut self, fields: &Fields) -> Result<(), BodyError> {
        fields.integer_into("rate", &mut self.rate)
    }

    pub(crate) fn step(
        &self,
        state: &mut ToxicState,
        now: Instant,
        input: &mut ChunkQueue,
        output: &mut ChunkQueue,
    ) -> ToxicStep {
        // One unit is one byte per millisecond.
        let rate = self.rate.max(0).unsigned_abs();
        let most = usize::try_from(rate.saturating_mul(SLICE_MS)).unwrap_or(usize::MAX);
        while output.has_room()
            && let Some(front) = input.front()
        {
            if rate == 0 {
                return ToxicStep::Wait;
            }
            let slice = front.bytes.len().min(most);
            // A stream that was blocked must not catch up faster than the rate.
            let earliest = now.checked_sub(Duration::from_millis(SLICE_MS)).unwrap_or(now);
            let start = state.mark.unwrap_or(front.received).max(front.received).max(earliest);
            let due = start + Duration::from_nanos((slice as u64).saturating_mul(1_000_000) / rate);
            if due > now {
                state.mark = Some(start);
                return ToxicStep::Until(due);
            }
            state.mark = Some(due);
            if let Some(chunk) = input.pop_some(slice) {
                output.push(chunk);
            }
        }
        input.pass_end(output);
        ToxicStep::Wait
    }
}
