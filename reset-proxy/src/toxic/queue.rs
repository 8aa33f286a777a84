//! What waits between two toxics: chunks in order, and how the stream ends behind them. It must not know of sockets.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::time::Instant;

/// So many bytes wait before the sender does.
const BYTES_MAX: usize = 64 * 1024;
/// Before a latency more may wait, so that a delay does not throttle.
const BYTES_MAX_WIDE: usize = 16 * 1024 * 1024;
/// And never more chunks than this, however short they are.
const CHUNKS_MAX: usize = 1024;

/// Bytes that travel together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) bytes: Bytes,
    /// When it arrived, or when the last delay let it go.
    pub(crate) received: Instant,
}

/// How a stream ends.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    /// Not yet.
    #[default]
    Open,
    /// The sender has said all; the other direction goes on.
    Finished,
    /// The connection is to be closed in both directions.
    Closed,
}

/// A bounded queue of chunks.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    chunks: VecDeque<Chunk>,
    len: usize,
    end: End,
    wide: bool,
    turns: u64,
}

impl Pipe {
    /// Says whether what waits here waits for a delay.
    pub(crate) const fn widen(&mut self, wide: bool) {
        self.wide = wide;
    }

    pub(crate) fn has_room(&self) -> bool {
        let most = if self.wide { BYTES_MAX_WIDE } else { BYTES_MAX };
        self.len < most && self.chunks.len() < CHUNKS_MAX
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(crate) fn front(&self) -> Option<&Chunk> {
        self.chunks.front()
    }

    pub(crate) fn push(&mut self, chunk: Chunk) {
        if !chunk.bytes.is_empty() {
            self.turns += 1;
            self.len += chunk.bytes.len();
            self.chunks.push_back(chunk);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Chunk> {
        let chunk = self.chunks.pop_front()?;
        self.turns += 1;
        self.len -= chunk.bytes.len();
        Some(chunk)
    }

    /// Takes at most `count` bytes of the first chunk.
    pub(crate) fn pop_some(&mut self, count: usize) -> Option<Chunk> {
        let front = self.chunks.front_mut()?;
        if front.bytes.len() <= count {
            return self.pop();
        }
        self.turns += 1;
        self.len -= count;
        Some(Chunk { bytes: front.bytes.split_to(count), received: front.received })
    }

    /// How the stream ends behind what waits; an end cannot be taken back.
    pub(crate) fn end(&mut self, end: End) {
        if end > self.end {
            self.turns += 1;
            self.end = end;
        }
    }

    /// How the stream ends, once nothing waits any more.
    pub(crate) fn ended(&self) -> End {
        if self.is_empty() { self.end } else { End::Open }
    }

    /// Passes on how the stream ends, if it does now.
    pub(crate) fn pass_end(&self, output: &mut Self) {
        output.end(self.ended());
    }

    /// Puts everything behind what waits here, its end too.
    pub(crate) fn append(&mut self, mut later: Self) {
        while let Some(chunk) = later.pop() {
            self.push(chunk);
        }
        self.end(later.end);
    }

    /// Rises with every change, so that a chain knows when it has come to rest.
    pub(crate) const fn turns(&self) -> u64 {
        self.turns
    }
}
