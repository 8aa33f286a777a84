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
/// The usual bound of a buffer: when it is full, nothing more is read and the sender waits. It also bounds the length of a head.
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
}

impl Buffer {
    pub(crate) fn new() -> Self {
        Self { bytes: BytesMut::new(), room: BUFFER_LEN, len_max: BUFFER_LEN_MAX }
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
