//! Slices chunks into smaller ones, with a pause between them.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::toxic::{
    fields::{BodyError, Fields},
    queue::ChunkQueue,
    step::{ToxicState, ToxicStep},
};

/// The longest pause in microseconds, whatever is asked for.
const PAUSE_MAX_US: i64 = 24 * 3_600 * 1_000_000;

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Slicer {
    /// In bytes; at 0 nothing is sliced.
    average_size: i64,
    /// The largest deviation in bytes, up or down.
    size_variation: i64,
    /// The pause after each slice, in microseconds.
    delay: i64,
}

impl Slicer {
    pub(crate) fn merge(&mut self, fields: &Fields) -> Result<(), BodyError> {
        fields.integer_into("average_size", &mut self.average_size)?;
        fields.integer_into("size_variation", &mut self.size_variation)?;
        fields.integer_into("delay", &mut self.delay)
    }

    pub(crate) fn step(
        &self,
        state: &mut ToxicState,
        now: Instant,
        input: &mut ChunkQueue,
        output: &mut ChunkQueue,
    ) -> ToxicStep {
        let pause = Duration::from_micros(self.delay.clamp(0, PAUSE_MAX_US).unsigned_abs());
        while output.has_room() && input.front().is_some() {
            if let Some(last) = state.mark
                && last + pause > now
            {
                return ToxicStep::Until(last + pause);
            }
            let len = self.slice_len(state);
            if let Some(slice) = input.pop_some(len) {
                output.push(slice);
            }
            state.mark = Some(now);
        }
        input.pass_end(output);
        ToxicStep::Wait
    }

    fn slice_len(&self, state: &mut ToxicState) -> usize {
        if self.average_size <= 0 {
            return usize::MAX;
        }
        let variation = self.size_variation.clamp(0, self.average_size);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "a chunk is far shorter than 2^52"
        )]
        let more = if variation == 0 { 0 } else { ((state.sampler.draw() * 2.0 - 1.0) * variation as f64) as i64 };
        usize::try_from(self.average_size.saturating_add(more).max(1)).unwrap_or(usize::MAX)
    }
}
