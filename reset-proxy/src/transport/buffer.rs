//! Bytes that were read from a socket and not yet passed on.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BufMut as _, BytesMut};
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

/// The size of the first read: enough for an ordinary request, so that most connections never need more.
pub(crate) const BUFFER_LEN: usize = 4 * 1024;
/// The usual bound of a buffer: when it is full, nothing more is read and the sender waits.
pub(crate) const BUFFER_LEN_MAX: usize = 64 * 1024;
/// The factor by which the next read grows after a read that used all of its room.
const GROWTH: usize = 4;

/// A bounded queue of bytes in one piece. It uses memory only while it holds bytes.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: BytesMut,
    /// How many bytes the next read may bring.
    room: usize,
    /// How many bytes the buffer may hold.
    len_max: usize,
    /// How many of its bytes were searched for the end of a head.
    searched: usize,
    /// How many bytes it held when they were last read as a head.
    read_as_head: usize,
}

impl Buffer {
    pub(crate) fn new() -> Self {
        Self::with_len_max(BUFFER_LEN_MAX)
    }

    /// A buffer that may hold so many bytes.
    pub(crate) fn with_len_max(len_max: usize) -> Self {
        Self { bytes: BytesMut::new(), room: BUFFER_LEN, len_max, searched: 0, read_as_head: 0 }
    }

    /// The bytes it holds.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether nothing can be read until something is consumed.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= self.len_max
    }

    /// Sets how many bytes the buffer may hold from now on. Bytes past a smaller bound stay until they are consumed.
    pub(crate) const fn set_len_max(&mut self, len_max: usize) {
        self.len_max = len_max;
    }

    /// Removes the first `count` bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        self.bytes.advance(count.min(self.bytes.len()));
        (self.searched, self.read_as_head) = (0, 0);
    }

    /// Whether a head at the front, which was not whole when it was last read, is worth another look: its end may have come, or twice as
    /// many bytes. So a head that comes byte by byte is not read for each of them.
    pub(crate) fn may_end_head(&mut self) -> bool {
        let len = self.bytes.len();
        let new = &self.bytes[self.searched.saturating_sub(2).min(len)..];
        let has_empty_line =
            new.windows(2).any(|pair| pair == b"\n\n") || new.windows(3).any(|three| three == b"\n\r\n");
        self.searched = len;
        let is_due = has_empty_line || len >= 2 * self.read_as_head || self.is_full();
        if is_due {
            self.read_as_head = len;
        }
        is_due && len > 0
    }

    /// Reads once and returns the number of bytes, 0 at the end of the stream. Must not be called on a full buffer, where 0
    /// would say nothing about the stream.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, from: &mut TcpStream) -> Poll<io::Result<usize>> {
        debug_assert!(!self.is_full(), "a full buffer cannot see the end of the stream");
        let filled = self.poll_fill_now(cx, from);
        if filled.is_pending() && self.bytes.is_empty() {
            self.bytes = BytesMut::new();
        }
        filled
    }

    fn poll_fill_now(&mut self, cx: &mut Context<'_>, from: &mut TcpStream) -> Poll<io::Result<usize>> {
        ready!(from.poll_read_ready(cx))?;
        let room = self.room.min(self.len_max.saturating_sub(self.bytes.len()));
        self.bytes.reserve(room);
        let count = ready!(poll_read_buf(Pin::new(from), cx, &mut (&mut self.bytes).limit(room)))?;
        if count == self.room {
            self.room = BUFFER_LEN_MAX.min(self.room * GROWTH);
        }
        Poll::Ready(Ok(count))
    }
}
