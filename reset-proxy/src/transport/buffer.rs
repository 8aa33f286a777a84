//! Bytes that were read from a socket and not yet passed on.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BufMut as _, BytesMut};
use tokio_util::io::poll_read_buf;

use crate::transport::service_stream::ByteStream;

/// The size of the first read: enough for an ordinary request, so that most connections never need more.
pub(crate) const BUFFER_LEN: usize = 4 * 1024;
/// The usual bound of a buffer: when it is full, nothing more is read and the sender waits.
pub(crate) const BUFFER_LEN_MAX: usize = 64 * 1024;
/// A head of up to this length is read again with all bytes that come.
const SHORT_HEAD_LEN: usize = 1024;
/// Two empty lines.
const BLANK_LEN_MAX: usize = 4;
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
    /// How many of its bytes were searched for what makes a head worth another look.
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

    /// Whether it holds no more than the empty lines that some senders add to a message, and that readers skip before the next one.
    pub(crate) fn is_blank(&self) -> bool {
        self.bytes.len() <= BLANK_LEN_MAX && self.bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n'))
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

    /// Whether a head at the front, which was not whole when it was last read, is worth another look. That is so while it is short, with
    /// every line that ends, with every byte that no line of a head has, and with twice as many bytes. So a long head that comes byte by
    /// byte is not read for each of them, and yet a client that does not speak HTTP/1 is found out when it waits for the service.
    pub(crate) fn may_end_head(&mut self) -> bool {
        let len = self.bytes.len();
        let new = &self.bytes[self.searched.min(len)..];
        let has_control = new.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t');
        self.searched = len;
        let is_due = len <= SHORT_HEAD_LEN || has_control || len >= 2 * self.read_as_head || self.is_full();
        if is_due {
            self.read_as_head = len;
        }
        is_due && len > 0
    }

    /// Reads once and returns the number of bytes, 0 at the end of the stream. Must not be called on a full buffer, where 0
    /// would say nothing about the stream.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, from: &mut impl ByteStream) -> Poll<io::Result<usize>> {
        debug_assert!(!self.is_full(), "a full buffer cannot see the end of the stream");
        let filled = self.poll_fill_now(cx, from);
        if filled.is_pending() && self.bytes.is_empty() {
            self.bytes = BytesMut::new();
        }
        filled
    }

    fn poll_fill_now(&mut self, cx: &mut Context<'_>, from: &mut impl ByteStream) -> Poll<io::Result<usize>> {
        ready!(from.poll_readable(cx))?;
        let room = self.room.min(self.len_max.saturating_sub(self.bytes.len()));
        self.bytes.reserve(room);
        let count = ready!(poll_read_buf(Pin::new(from), cx, &mut (&mut self.bytes).limit(room)))?;
        if count == self.room {
            self.room = BUFFER_LEN_MAX.min(self.room * GROWTH);
        }
        Poll::Ready(Ok(count))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::{
        io::AsyncWriteExt as _,
        net::{TcpListener, TcpStream},
    };

    use super::*;

    #[tokio::test]
    async fn a_head_is_read_again_when_what_came_can_change_what_it_is() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let mut peer = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("it listens");
        let (mut socket, _) = listener.accept().await.expect("a connection");
        let mut buffer = Buffer::new();
        let long = "x".repeat(2 * SHORT_HEAD_LEN);
        for (piece, is_due) in [
            ("EHLO cli", true),
            ("ent", true),
            (&long[..], true),
            ("x: y", false),
            ("\r\n", true),
            ("\t", false),
            ("\u{1}", true),
            (&long[..], false),
            (&long[..], true),
        ] {
            let len = buffer.filled().len() + piece.len();
            peer.write_all(piece.as_bytes()).await.expect("the socket takes it");
            while buffer.filled().len() < len {
                poll_fn(|cx| buffer.poll_fill(cx, &mut socket)).await.expect("bytes");
            }
            assert_eq!(buffer.may_end_head(), is_due, "{piece:.20?} at {len}");
        }
    }
}
