//! Slices chunks into smaller ones, with a pause between them.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::{
    toxic::definition::{Memory, Step},
    toxic::fields::{BadBody, Fields},
    toxic::queue::Pipe,
};

/// No pause is longer than this.
const PAUSE_MAX_US: i64 = 24 * 3_600 * 1_000_000;

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Slicer {
    /// In bytes; at 0 nothing is sliced.
    average_size: i64,
    /// In bytes, more or less.
    size_variation: i64,
    /// The pause after each slice, in microseconds.
    delay: i64,
}

impl Slicer {
    pub(crate) fn merge(&mut self, fields: &Fields) -> Result<(), BadBody> {
        fields.integer_into("average_size", &mut self.average_size)?;
        fields.integer_into("size_variation", &mut self.size_variation)?;
        fields.integer_into("delay", &mut self.delay)
    }

    pub(crate) fn step(&self, memory: &mut Memory, now: Instant, input: &mut Pipe, output: &mut Pipe) -> Step {
        let pause = Duration::from_micros(self.delay.clamp(0, PAUSE_MAX_US).unsigned_abs());
        while output.has_room() && input.front().is_some() {
            if let Some(last) = memory.mark
                && last + pause > now
            {
                return Step::Until(last + pause);
            }
            let len = self.slice_len(memory);
            if let Some(slice) = input.pop_some(len) {
                output.push(slice);
            }
            memory.mark = Some(now);
        }
        input.pass_end(output);
        Step::Wait
    }

    fn slice_len(&self, memory: &mut Memory) -> usize {
        if self.average_size <= 0 {
            return usize::MAX;
        }
        let variation = self.size_variation.clamp(0, self.average_size);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "a chunk is far shorter than 2^52"
        )]
        let more = if variation == 0 { 0 } else { ((memory.coins.toss() * 2.0 - 1.0) * variation as f64) as i64 };
        usize::try_from(self.average_size.saturating_add(more).max(1)).unwrap_or(usize::MAX)
    }
}
