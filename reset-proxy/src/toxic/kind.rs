//! The kinds of toxics, each with its attributes.

use serde::Serialize;
use tokio::time::Instant;

use crate::toxic::{
    fields::{BodyError, Fields},
    kinds::{
        bandwidth::Bandwidth, latency::Latency, limit_data::LimitData, packet_loss::PacketLoss, reset_peer::ResetPeer,
        slicer::Slicer, slow_close::SlowClose, timeout::Timeout,
    },
    queue::ChunkQueue,
    step::{ToxicState, ToxicStep, pass},
};

/// What a toxic does, with its attributes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum ToxicKind {
    Noop {},
    Latency(Latency),
    Bandwidth(Bandwidth),
    SlowClose(SlowClose),
    Timeout(Timeout),
    ResetPeer(ResetPeer),
    Slicer(Slicer),
    LimitData(LimitData),
    PacketLoss(PacketLoss),
}

impl ToxicKind {
    /// The kind with this name and the default attributes.
    pub(crate) fn of(r#type: &str) -> Option<Self> {
        Some(match r#type {
            "noop" => Self::Noop {},
            "latency" => Self::Latency(Latency::default()),
            "bandwidth" => Self::Bandwidth(Bandwidth::default()),
            "slow_close" => Self::SlowClose(SlowClose::default()),
            "timeout" => Self::Timeout(Timeout::default()),
            "reset_peer" => Self::ResetPeer(ResetPeer::default()),
            "slicer" => Self::Slicer(Slicer::default()),
            "limit_data" => Self::LimitData(LimitData::default()),
            "packet_loss" => Self::PacketLoss(PacketLoss::default()),
            _ => return None,
        })
    }

    /// Changes the attributes that the fields name.
    pub(crate) fn merge(&mut self, fields: &Fields) -> Result<(), BodyError> {
        match self {
            Self::Noop {} => Ok(()),
            Self::Latency(latency) => latency.merge(fields),
            Self::Bandwidth(bandwidth) => bandwidth.merge(fields),
            Self::SlowClose(slow_close) => slow_close.merge(fields),
            Self::Timeout(timeout) => timeout.merge(fields),
            Self::ResetPeer(reset_peer) => reset_peer.merge(fields),
            Self::Slicer(slicer) => slicer.merge(fields),
            Self::LimitData(limit_data) => limit_data.merge(fields),
            Self::PacketLoss(packet_loss) => packet_loss.merge(fields),
        }
    }

    /// Moves what may pass now from one queue to the other.
    pub(crate) fn step(
        &self,
        state: &mut ToxicState,
        now: Instant,
        input: &mut ChunkQueue,
        output: &mut ChunkQueue,
    ) -> ToxicStep {
        match self {
            Self::Noop {} => {
                pass(input, output);
                input.pass_end(output);
                ToxicStep::Wait
            }
            Self::Latency(latency) => latency.step(state, now, input, output),
            Self::Bandwidth(bandwidth) => bandwidth.step(state, now, input, output),
            Self::SlowClose(slow_close) => slow_close.step(state, now, input, output),
            Self::Timeout(timeout) => timeout.step(state, now, input, output),
            Self::ResetPeer(reset_peer) => reset_peer.step(state, now, input, output),
            Self::Slicer(slicer) => slicer.step(state, now, input, output),
            Self::LimitData(limit_data) => limit_data.step(state, input, output),
            Self::PacketLoss(packet_loss) => packet_loss.step(state, input, output),
        }
    }

    /// Whether more than the usual number of bytes may wait for the toxic.
    pub(crate) const fn needs_room(&self) -> bool {
        matches!(self, Self::Latency(_))
    }

    /// Whether removing the toxic closes its connections, because it has dropped data of them.
    pub(crate) const fn closes_when_removed(&self) -> bool {
        matches!(self, Self::Timeout(_))
    }
}
