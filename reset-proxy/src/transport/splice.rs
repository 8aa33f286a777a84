//! Moves bytes from one socket to another inside the kernel, without a copy through this process. It serves streams that
//! fill every buffer.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll, ready},
};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::{io::Interest, net::TcpStream};

use crate::transport::service_stream::ByteStream;

/// How many bytes of one stream the kernel may hold.
const PIPE_LEN: usize = 1024 * 1024;
/// A stream that brings fewer bytes at once is copied through a buffer instead.
const WORTHWHILE_LEN: usize = 16 * 1024;
/// How many streams may be spliced at once; each takes two descriptors. Further streams are copied through a buffer.
const SPLICES_MAX: usize = 64;

static SPLICES: AtomicUsize = AtomicUsize::new(0);

/// A pipe between two sockets.
#[derive(Debug)]
pub(crate) struct Splice {
    sink: OwnedFd,
    source: OwnedFd,
    /// How many bytes the pipe holds.
    held: usize,
    /// How many bytes came with the last read.
    last: usize,
}

impl Splice {
    /// Opens a pipe between two streams. `None` when one of them is encrypted, `SPLICES_MAX` are open, or the system has no descriptor left.
    pub(crate) fn between(from: &impl ByteStream, to: &impl ByteStream) -> Option<Self> {
        from.plain().and(to.plain())?;
        if SPLICES.fetch_add(1, Ordering::Relaxed) < SPLICES_MAX
            && let Ok((source, sink)) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
        {
            // If the system refuses, the pipe keeps its default length.
            let _ = fcntl_setpipe_size(&sink, PIPE_LEN);
            return Some(Self { sink, source, held: 0, last: usize::MAX });
        }
        SPLICES.fetch_sub(1, Ordering::Relaxed);
        None
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Whether the last read brought so much that the next bytes should be spliced too.
    pub(crate) const fn is_worthwhile(&self) -> bool {
        self.last >= WORTHWHILE_LEN
    }

    /// Takes the bytes that a socket has, `most` at most, and returns their number, 0 at the end of the stream. Must be called only on
    /// an empty pipe, because a full one would return 0 too.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, from: &TcpStream, most: u64) -> Poll<io::Result<usize>> {
        let most = usize::try_from(most).unwrap_or(PIPE_LEN).min(PIPE_LEN);
        loop {
            ready!(from.poll_read_ready(cx))?;
            match from.try_io(Interest::READABLE, || shift(from, &self.sink, most)) {
                Ok(count) => {
                    (self.held, self.last) = (count, count);
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Writes as many bytes as a socket takes and returns their number, 0 when it will take no more.
    pub(crate) fn poll_empty(&mut self, cx: &mut Context<'_>, to: &TcpStream) -> Poll<io::Result<usize>> {
        loop {
            ready!(to.poll_write_ready(cx))?;
            match to.try_io(Interest::WRITABLE, || shift(&self.source, to, self.held)) {
                Ok(count) => {
                    self.held -= count.min(self.held);
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Drop for Splice {
    fn drop(&mut self) {
        SPLICES.fetch_sub(1, Ordering::Relaxed);
    }
}

fn shift(from: impl AsFd, to: impl AsFd, len: usize) -> io::Result<usize> {
    Ok(splice(from, None, to, None, len, SpliceFlags::MOVE | SpliceFlags::NONBLOCK)?)
}
