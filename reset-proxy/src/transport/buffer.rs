//! The bytes that were read from a socket and not yet passed on. It must not know what they mean.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BufMut as _, BytesMut};
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

/// Room for an ordinary request; most connections never need more.
pub(crate) const BUFFER_LEN: usize = 4 * 1024;
/// No buffer grows past this: the sender then waits. It is also the longest head that is understood.
pub(crate) const BUFFER_LEN_MAX: usize = 64 * 1024;
/// A buffer that was filled by one read grows so much.
const GROWTH: usize = 4;

/// A bounded queue of bytes that keeps them in one piece. It takes memory only while there are some.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: BytesMut,
    /// How much the next read may bring.
    room: usize,
}

impl Buffer {
    pub(crate) fn new() -> Self {
        Self { bytes: BytesMut::new(), room: BUFFER_LEN }
    }

    /// What waits in it.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether nothing more fits until something is consumed.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() == BUFFER_LEN_MAX
    }

    /// Forgets the first `count` bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        self.bytes.advance(count.min(self.bytes.len()));
    }

    /// Reads once; 0 at the end of the stream. Must not be called on a full buffer, whose 0 would mean nothing.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, from: &mut TcpStream) -> Poll<io::Result<usize>> {
        debug_assert!(!self.is_full(), "a full buffer cannot tell the end of the stream");
        let filled = self.poll_fill_now(cx, from);
        if filled.is_pending() && self.bytes.is_empty() {
            self.bytes = BytesMut::new();
        }
        filled
    }

    fn poll_fill_now(&mut self, cx: &mut Context<'_>, from: &mut TcpStream) -> Poll<io::Result<usize>> {
        ready!(from.poll_read_ready(cx))?;
        let room = self.room.min(BUFFER_LEN_MAX - self.bytes.len());
        self.bytes.reserve(room);
        let count = ready!(poll_read_buf(Pin::new(from), cx, &mut (&mut self.bytes).limit(room)))?;
        if count == self.room {
            self.room = BUFFER_LEN_MAX.min(self.room * GROWTH);
        }
        Poll::Ready(Ok(count))
    }
}
