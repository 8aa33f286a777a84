//! Delays each chunk from its receive time; does not throttle.

use serde::Serialize;
use tokio::time::Instant;

use crate::{
    toxic::definition::{Memory, Step, delay},
    toxic::fields::{BadBody, Fields},
    toxic::queue::Pipe,
};

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Latency {
    /// In milliseconds.
    latency: i64,
    /// In milliseconds, more or less.
    jitter: i64,
}

impl Latency {
    pub(crate) fn merge(&mut self, fields: &Fields) -> Result<(), BadBody> {
        fields.integer_into("latency", &mut self.latency)?;
        fields.integer_into("jitter", &mut self.jitter)
    }

    pub(crate) fn step(&self, memory: &mut Memory, now: Instant, input: &mut Pipe, output: &mut Pipe) -> Step {
        while output.has_room()
            && let Some(front) = input.front()
        {
            let chance = *memory.drawn.get_or_insert_with(|| if self.jitter > 0 { memory.coins.toss() } else { 0.5 });
            let due = front.received + self.delay(chance);
            if due > now {
                return Step::Until(due);
            }
            memory.drawn = None;
            if let Some(mut chunk) = input.pop() {
                chunk.received = due;
                output.push(chunk);
            }
        }
        input.pass_end(output);
        Step::Wait
    }

    /// Half a chance is the latency itself.
    fn delay(&self, chance: f64) -> std::time::Duration {
        let jitter = delay(self.jitter);
        (delay(self.latency) + jitter.mul_f64(2.0 * chance)).saturating_sub(jitter)
    }
}
