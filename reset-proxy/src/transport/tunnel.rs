//! Two sockets as one stream of bytes in each direction: for what is not HTTP/1, and for named proxies where no toxic is at
//! work. Each side's end is passed on alone.

use std::{
    io,
    pin::{Pin, pin},
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, ready},
};

use rustix::net::{SendFlags, send};
use tokio::{
    io::{AsyncWrite, Interest},
    net::TcpStream,
};

use crate::{
    fault::counters::Counters,
    transport::buffer::{BUFFER_LEN, BUFFER_LEN_MAX, Buffer},
    transport::splice::Splice,
};

/// One direction: from where to where, and how far.
#[derive(Debug)]
pub(crate) struct Lane<'a> {
    pub(crate) buffer: &'a mut Buffer,
    /// The way of a stream that fills the buffer.
    pub(crate) splice: &'a mut Option<Splice>,
    pub(crate) count: &'a AtomicU64,
    pub(crate) moved: u64,
    pub(crate) state: Flow,
    /// How far the other direction has come.
    pub(crate) other: Flow,
}

/// How far a direction has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Open,
    /// The source has ended its side; the rest is on its way.
    Ending,
    /// The end was passed on.
    Ended,
}

/// Which side of a lane broke.
pub(crate) enum Broken {
    Source,
    Sink,
}

/// How a tunnel ended, and how many bytes went through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Through {
    pub(crate) ended: Ended,
    pub(crate) bytes_up: u64,
    pub(crate) bytes_down: u64,
    /// Whether the service was sent all that the client has said, and its end.
    pub(crate) up_whole: bool,
}

/// Who ended a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Both sides, cleanly.
    Both,
    ClientGone,
    ServiceGone,
}

/// Passes bytes until both sides have ended theirs, or one breaks. `up` and `down` may hold bytes already.
pub(crate) async fn tunnel(
    client: &mut TcpStream,
    service: &mut TcpStream,
    (up, down): (&mut Buffer, &mut Buffer),
    counters: &Counters,
) -> Through {
    let (mut up_splice, mut down_splice) = (None, None);
    let mut up = Lane::new(up, &mut up_splice, &counters.bytes_up);
    let mut down = Lane::new(down, &mut down_splice, &counters.bytes_down);
    let ended = std::future::poll_fn(|cx| {
        let upward = up.poll(cx, client, service);
        down.other = up.state;
        let downward = down.poll(cx, service, client);
        up.other = down.state;
        match (upward, downward) {
            (Poll::Ready(Err(Broken::Source)), _) | (_, Poll::Ready(Err(Broken::Sink))) => {
                Poll::Ready(Ended::ClientGone)
            }
            (Poll::Ready(Err(Broken::Sink)), _) | (_, Poll::Ready(Err(Broken::Source))) => {
                Poll::Ready(Ended::ServiceGone)
            }
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(Ended::Both),
            (Poll::Pending, _) | (_, Poll::Pending) => Poll::Pending,
        }
    })
    .await;
    let up_whole = up.state == Flow::Ended;
    Through { ended, bytes_up: up.moved, bytes_down: down.moved, up_whole }
}

impl<'a> Lane<'a> {
    pub(crate) const fn new(buffer: &'a mut Buffer, splice: &'a mut Option<Splice>, count: &'a AtomicU64) -> Self {
        Self { buffer, splice, count, moved: 0, state: Flow::Open, other: Flow::Open }
    }

    /// Passes on what there is; ready when the end was passed on, or a side broke.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut TcpStream,
        to: &mut TcpStream,
    ) -> Poll<Result<(), Broken>> {
        loop {
            ready!(self.poll_empty(cx, to))?;
            match self.state {
                Flow::Ended => return Poll::Ready(Ok(())),
                Flow::Open => {
                    if ready!(self.poll_fill_with_end(cx, from)).is_err() {
                        return Poll::Ready(Err(Broken::Source));
                    }
                }
                Flow::Ending => {
                    // When the other direction has ended too, both sockets are closed next, which says as much.
                    if self.other != Flow::Ended && ready!(Pin::new(&mut *to).poll_shutdown(cx)).is_err() {
                        return Poll::Ready(Err(Broken::Sink));
                    }
                    self.state = Flow::Ended;
                }
            }
        }
    }

    /// Takes the end along with the last bytes where it is there already: they then leave in one segment.
    fn poll_fill_with_end(&mut self, cx: &mut Context<'_>, from: &mut TcpStream) -> Poll<io::Result<()>> {
        let mut count = ready!(self.poll_fill(cx, from))?;
        if (1..BUFFER_LEN).contains(&count)
            && self.splice.is_none()
            && is_at_end(cx, from)
            && let Poll::Ready(after) = self.poll_fill(cx, from)
        {
            count = after?;
        }
        if count == 0 {
            self.state = Flow::Ending;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>, from: &mut TcpStream) -> Poll<io::Result<usize>> {
        match self.splice {
            Some(splice) if splice.is_worth_it() => splice.poll_fill(cx, from),
            Some(_) | None => {
                *self.splice = None;
                let count = ready!(self.buffer.poll_fill(cx, from))?;
                if count == BUFFER_LEN_MAX {
                    *self.splice = Splice::open();
                }
                Poll::Ready(Ok(count))
            }
        }
    }

    /// Passes on all that has been read.
    pub(crate) fn poll_empty(&mut self, cx: &mut Context<'_>, to: &mut TcpStream) -> Poll<Result<(), Broken>> {
        while !self.buffer.is_empty() {
            let sent = match self.state {
                Flow::Ending => poll_send_before_end(cx, to, self.buffer.filled()),
                Flow::Open | Flow::Ended => Pin::new(&mut *to).poll_write(cx, self.buffer.filled()),
            };
            match ready!(sent) {
                Ok(0) | Err(_) => return Poll::Ready(Err(Broken::Sink)),
                Ok(sent) => {
                    self.buffer.consume(sent);
                    self.note(sent);
                }
            }
        }
        while let Some(splice) = self.splice
            && !splice.is_empty()
        {
            match ready!(splice.poll_empty(cx, to)) {
                Ok(0) | Err(_) => return Poll::Ready(Err(Broken::Sink)),
                Ok(sent) => self.note(sent),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn note(&mut self, sent: usize) {
        self.moved += sent as u64;
        self.count.fetch_add(sent as u64, Ordering::Relaxed);
    }
}

/// Whether a socket's peer has ended its side, cleanly, as far as is known without asking the kernel.
fn is_at_end(cx: &mut Context<'_>, from: &TcpStream) -> bool {
    let readiness = pin!(from.ready(Interest::READABLE | Interest::ERROR)).poll(cx);
    matches!(readiness, Poll::Ready(Ok(ready)) if ready.is_read_closed() && !ready.is_error())
}

/// Writes what the end follows at once: the kernel waits for it.
fn poll_send_before_end(cx: &mut Context<'_>, to: &TcpStream, bytes: &[u8]) -> Poll<io::Result<usize>> {
    loop {
        ready!(to.poll_write_ready(cx))?;
        let send = || Ok(send(to, bytes, SendFlags::MORE | SendFlags::NOSIGNAL)?);
        match to.try_io(Interest::WRITABLE, send) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            sent => return Poll::Ready(sent),
        }
    }
}
