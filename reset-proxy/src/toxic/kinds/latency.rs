//! Delays each chunk by a time since it was received. It does not throttle.

use serde::Serialize;
use tokio::time::Instant;

use crate::toxic::{
    fields::{BodyError, Fields},
    queue::ChunkQueue,
    step::{ToxicState, ToxicStep, delay},
};

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Latency {
    /// In milliseconds.
    latency: i64,
    /// The largest deviation in milliseconds, up or down.
    jitter: i64,
}

impl Latency {
    pub(crate) fn merge(&mut self, fields: &Fields) -> Result<(), BodyError> {
        fields.integer_into("latency", &mut self.latency)?;
        fields.integer_into("jitter", &mut self.jitter)
    }

    pub(crate) fn step(
        &self,
        state: &mut ToxicState,
        now: Instant,
        input: &mut ChunkQueue,
        output: &mut ChunkQueue,
    ) -> ToxicStep {
        while output.has_room()
            && let Some(front) = input.front()
        {
            let random = *state.drawn.get_or_insert_with(|| if self.jitter > 0 { state.sampler.draw() } else { 0.5 });
            let due = front.received + self.delay(random);
            if due > now {
                return ToxicStep::Until(due);
            }
            state.drawn = None;
            if let Some(mut chunk) = input.pop() {
                chunk.received = due;
                output.push(chunk);
            }
        }
        input.pass_end(output);
        ToxicStep::Wait
    }

    /// The delay for a random number; 0.5 gives the latency itself.
    fn delay(&self, random: f64) -> std::time::Duration {
        let jitter = delay(self.jitter);
        (delay(self.latency) + jitter.mul_f64(2.0 * random)).saturating_sub(jitter)
    }
}
