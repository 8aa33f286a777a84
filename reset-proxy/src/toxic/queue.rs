//! The queue between two toxics: chunks in order, and how the stream ends after them. It must not know of sockets.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::time::Instant;

/// The number of bytes that may wait; when it is exceeded, nothing more is read and the sender waits. No chunk is longer, so while one
/// waits the next is read, and arrives before its turn.
const BYTES_MAX: usize = 64 * 1024;
/// The number of bytes that may wait for a latency, which must not throttle.
const BYTES_MAX_WIDE: usize = 16 * 1024 * 1024;
/// The number of chunks that may wait, however short they are.
const CHUNKS_MAX: usize = 1024;

/// Bytes that move together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) bytes: Bytes,
    /// When the chunk arrived, or when the last delay let it pass.
    pub(crate) received: Instant,
}

/// How a stream ends.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum QueueEnd {
    /// It has not ended.
    #[default]
    Open,
    /// The sender has ended its side; the other direction goes on.
    Finished,
    /// The connection is to be closed in both directions.
    Closed,
}

/// A bounded queue of chunks.
#[derive(Debug, Default)]
pub(crate) struct ChunkQueue {
    chunks: VecDeque<Chunk>,
    len: usize,
    end: QueueEnd,
    wide: bool,
    changes: u64,
}

impl ChunkQueue {
    /// Sets whether the chunks here wait for a latency.
    pub(crate) const fn widen(&mut self, wide: bool) {
        self.wide = wide;
    }

    pub(crate) fn has_room(&self) -> bool {
        let most = if self.wide { BYTES_MAX_WIDE } else { BYTES_MAX };
        self.len <= most && self.chunks.len() < CHUNKS_MAX
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(crate) fn front(&self) -> Option<&Chunk> {
        self.chunks.front()
    }

    pub(crate) fn push(&mut self, chunk: Chunk) {
        if !chunk.bytes.is_empty() {
            self.changes += 1;
            self.len += chunk.bytes.len();
            self.chunks.push_back(chunk);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Chunk> {
        let chunk = self.chunks.pop_front()?;
        self.changes += 1;
        self.len -= chunk.bytes.len();
        Some(chunk)
    }

    /// Takes at most `count` bytes from the first chunk.
    pub(crate) fn pop_some(&mut self, count: usize) -> Option<Chunk> {
        let front = self.chunks.front_mut()?;
        if front.bytes.len() <= count {
            return self.pop();
        }
        self.changes += 1;
        self.len -= count;
        Some(Chunk { bytes: front.bytes.split_to(count), received: front.received })
    }

    /// Sets how the stream ends after the chunks that wait. An end is never taken back.
    pub(crate) fn end(&mut self, end: QueueEnd) {
        if end > self.end {
            self.changes += 1;
            self.end = end;
        }
    }

    /// How the stream has ended, once no chunk waits any more.
    pub(crate) fn ended(&self) -> QueueEnd {
        if self.is_empty() { self.end } else { QueueEnd::Open }
    }

    /// Passes the end on to the next queue, once no chunk waits any more.
    pub(crate) fn pass_end(&self, output: &mut Self) {
        output.end(self.ended());
    }

    /// Appends the chunks and the end of another queue.
    pub(crate) fn append(&mut self, mut later: Self) {
        while let Some(chunk) = later.pop() {
            self.push(chunk);
        }
        self.end(later.end);
    }

    /// A number that rises with every change, so that a chain can see when nothing moves any more.
    pub(crate) const fn changes(&self) -> u64 {
        self.changes
    }
}
