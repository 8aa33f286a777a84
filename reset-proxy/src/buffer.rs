//! The bytes that were read from a socket and not yet passed on. It must not know what they mean.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    net::TcpStream,
};

/// Room for an ordinary request; most connections never need more.
const BUFFER_LEN: usize = 4 * 1024;
/// No buffer grows past this: the sender then waits. It is also the longest head that is understood.
pub(crate) const BUFFER_LEN_MAX: usize = 64 * 1024;
/// A buffer that was filled by one read grows so much.
const GROWTH: usize = 4;

/// A bounded queue of bytes that keeps them in one piece.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; BUFFER_LEN], start: 0, end: 0 }
    }

    /// What waits in it.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether nothing more fits until something is consumed.
    pub(crate) const fn is_full(&self) -> bool {
        self.end - self.start == BUFFER_LEN_MAX
    }

    /// Forgets the first `count` bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = self.end.min(self.start + count);
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Reads once; 0 at the end of the stream. Must not be called on a full buffer, whose 0 would mean nothing.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, from: &mut TcpStream) -> Poll<io::Result<usize>> {
        debug_assert!(!self.is_full(), "a full buffer cannot tell the end of the stream");
        self.make_room();
        let mut spare = ReadBuf::new(&mut self.bytes[self.end..]);
        ready!(Pin::new(from).poll_read(cx, &mut spare))?;
        let (count, filled_up) = (spare.filled().len(), spare.remaining() == 0);
        self.end += count;
        if filled_up && self.bytes.len() < BUFFER_LEN_MAX {
            self.bytes.resize(self.bytes.len() * GROWTH, 0);
        }
        Poll::Ready(Ok(count))
    }

    fn make_room(&mut self) {
        if self.end == self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
    }
}
