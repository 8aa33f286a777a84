//! Drops chunks by chance, each alone or as its predecessor.

use serde::Serialize;

use crate::{
    toxic::definition::{Memory, Step},
    toxic::fields::{BadBody, Fields},
    toxic::queue::Pipe,
};

#[derive(Debug, Default, Clone, PartialEq, Serialize)]
pub(crate) struct PacketLoss {
    /// Which share is dropped, 0 to 1.
    loss_rate: f64,
    /// How much a chunk's chance is that of the one before, 0 to 1.
    correlation: f64,
}

impl PacketLoss {
    pub(crate) fn merge(&mut self, fields: &Fields) -> Result<(), BadBody> {
        fields.share_into("loss_rate", &mut self.loss_rate)?;
        fields.share_into("correlation", &mut self.correlation)
    }

    pub(crate) fn step(&self, memory: &mut Memory, input: &mut Pipe, output: &mut Pipe) -> Step {
        while output.has_room()
            && let Some(chunk) = input.pop()
        {
            let chance = memory.coins.toss();
            let chance =
                memory.drawn.map_or(chance, |last| last * self.correlation + chance * (1.0 - self.correlation));
            memory.drawn = Some(chance);
            if chance >= self.loss_rate {
                output.push(chunk);
            }
        }
        input.pass_end(output);
        Step::Wait
    }
}
