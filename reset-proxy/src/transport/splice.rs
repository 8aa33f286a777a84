//! Bytes from one socket to another inside the kernel, without a copy through this process: for streams that fill every
//! buffer. It must not know what the bytes mean.

use std::{
    io,
    os::fd::OwnedFd,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll, ready},
};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::{io::Interest, net::TcpStream};

/// As much as the kernel holds of one stream.
const PIPE_LEN: usize = 1024 * 1024;
/// A stream that brings less at once is better copied.
const WORTH_IT: usize = 16 * 1024;
/// So many streams at once; each takes two descriptors. The others are copied.
const SPLICES_MAX: usize = 64;

static SPLICES: AtomicUsize = AtomicUsize::new(0);

/// A pipe between two sockets.
#[derive(Debug)]
pub(crate) struct Splice {
    sink: OwnedFd,
    source: OwnedFd,
    /// How many bytes are in it.
    held: usize,
    /// How many came at once.
    last: usize,
}

impl Splice {
    /// A pipe, unless there are enough of them, or the system has none to give.
    pub(crate) fn open() -> Option<Self> {
        if SPLICES.fetch_add(1, Ordering::Relaxed) < SPLICES_MAX
            && let Ok((source, sink)) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
        {
            // Where it cannot be made longer, it has its usual length.
            let _ = fcntl_setpipe_size(&sink, PIPE_LEN);
            return Some(Self { sink, source, held: 0, last: usize::MAX });
        }
        SPLICES.fetch_sub(1, Ordering::Relaxed);
        None
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Whether as much came at once that the next bytes should take this way too.
    pub(crate) const fn is_worth_it(&self) -> bool {
        self.last >= WORTH_IT
    }

    /// Takes what a socket has; 0 at the end of its stream. Only for an empty pipe: a full one would look like no bytes.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, from: &TcpStream) -> Poll<io::Result<usize>> {
        loop {
            ready!(from.poll_read_ready(cx))?;
            match from.try_io(Interest::READABLE, || shift(from, &self.sink, PIPE_LEN)) {
                Ok(count) => {
                    (self.held, self.last) = (count, count);
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Gives a socket what it takes; 0 when it takes no more for ever.
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

fn shift(from: impl std::os::fd::AsFd, to: impl std::os::fd::AsFd, len: usize) -> io::Result<usize> {
    Ok(splice(from, None, to, None, len, SpliceFlags::MOVE | SpliceFlags::NONBLOCK)?)
}
