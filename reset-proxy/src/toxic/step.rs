//! What each kind of toxic works with: its state on one stream, and the outcome of a step.

use std::{collections::VecDeque, time::Duration};

use serde::Serialize;
use tokio::time::Instant;

use crate::toxic::{
    queue::{Chunk, ChunkQueue},
    sampler::ToxicSampler,
};

/// The longest delay in milliseconds, whatever is asked for.
const DELAY_MAX_MS: i64 = 365 * 24 * 3_600 * 1_000;

/// The direction of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stream {
    /// From the client to the service.
    Upstream,
    /// From the service to the client.
    Downstream,
}

/// The state of one toxic on one stream of one connection.
#[derive(Debug)]
pub(crate) struct ToxicState {
    pub(crate) stream: Stream,
    /// When the toxic began there, or was last changed.
    pub(crate) began: Instant,
    /// A moment until which, or since which, the toxic waits; each kind has its own use for it.
    pub(crate) mark: Option<Instant>,
    /// The random number for the chunk at the front, drawn once.
    pub(crate) drawn: Option<f64>,
    /// How many bytes the toxic let through.
    pub(crate) passed: u64,
    /// Chunks that the toxic keeps back; they pass when it is removed.
    pub(crate) held: VecDeque<Chunk>,
    pub(crate) sampler: ToxicSampler,
}

/// What is to happen after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ToxicStep {
    /// Nothing until a queue changes.
    Wait,
    /// Another step at this time.
    Until(Instant),
    /// A reset of both sockets now.
    Reset,
}

impl ToxicState {
    pub(crate) const fn new(stream: Stream, began: Instant, sampler: ToxicSampler) -> Self {
        Self { stream, began, mark: None, drawn: None, passed: 0, held: VecDeque::new(), sampler }
    }
}

/// Passes on all chunks that fit.
pub(crate) fn pass(input: &mut ChunkQueue, output: &mut ChunkQueue) {
    while output.has_room()
        && let Some(chunk) = input.pop()
    {
        output.push(chunk);
    }
}

/// A delay of this many milliseconds; none for a negative number.
pub(crate) fn delay(ms: i64) -> Duration {
    Duration::from_millis(ms.clamp(0, DELAY_MAX_MS).unsigned_abs())
}
