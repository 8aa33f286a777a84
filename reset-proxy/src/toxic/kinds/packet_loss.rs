//! Drops chunks at random, each independently or in correlation with the chunk before it.

use serde::Serialize;

use crate::toxic::{
    fields::{BodyError, Fields},
    queue::ChunkQueue,
    step::{ToxicState, ToxicStep},
};

#[derive(Debug, Default, Clone, PartialEq, Serialize)]
pub(crate) struct PacketLoss {
    /// The fraction of the chunks that is dropped, 0 to 1.
    loss_rate: f64,
    /// The weight of the previous chunk's random number in that of the next, 0 to 1.
    correlation: f64,
}

impl PacketLoss {
    pub(crate) fn merge(&mut self, fields: &Fields) -> Result<(), BodyError> {
        fields.fraction_into("loss_rate", &mut self.loss_rate)?;
        fields.fraction_into("correlation", &mut self.correlation)
    }

    pub(crate) fn step(&self, state: &mut ToxicState, input: &mut ChunkQueue, output: &mut ChunkQueue) -> ToxicStep {
        while output.has_room()
            && let Some(chunk) = input.pop()
        {
            let random = state.sampler.draw();
            let random = state.drawn.map_or(random, |last| last * self.correlation + random * (1.0 - self.correlation));
            state.drawn = Some(random);
            if random >= self.loss_rate {
                output.push(chunk);
            }
        }
        input.pass_end(output);
        ToxicStep::Wait
    }
}
