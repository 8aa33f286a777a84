//! Copies bytes between two streams in both directions. It serves connections that are not HTTP/1, and connections of
//! named proxies while no toxic is active. The end of each direction is passed on by itself.

use std::{
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use rustix::net::{SendFlags, send};
use tokio::{io::Interest, net::TcpStream};

use crate::{
    counter::Counter,
    transport::{
        buffer::{BUFFER_LEN, BUFFER_LEN_MAX, Buffer},
        service_stream::ByteStream,
        splice::Splice,
    },
};

/// Copies one direction from its source to its sink.
#[derive(Debug)]
pub(crate) struct CopyLoop<'a> {
    pub(crate) buffer: &'a mut Buffer,
    /// Replaces the buffer for a stream that fills it.
    pub(crate) splice: &'a mut Option<Splice>,
    pub(crate) counter: &'a Counter,
    pub(crate) moved: u64,
    pub(crate) state: FlowState,
    /// The state of the other direction.
    pub(crate) other: FlowState,
}

/// The state of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlowState {
    Open,
    /// The source has ended its side; bytes of it are still to be written.
    Ending,
    /// The end of the source was passed on to the sink.
    Ended,
}

/// Which side of a direction failed.
pub(crate) enum BrokenSide {
    Source,
    Sink,
}

/// How a tunnel ended, and how many bytes went through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TunnelResult {
    pub(crate) ended: TunnelEnd,
    pub(crate) bytes_up: u64,
    pub(crate) bytes_down: u64,
    /// Whether the service was sent all bytes of the client and the end of its side.
    pub(crate) up_whole: bool,
}

/// Who ended a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TunnelEnd {
    /// Both sides ended cleanly.
    Both,
    ClientGone,
    ServiceGone,
}

/// Copies bytes until both sides have ended or one fails. The buffers `up` and `down` may hold bytes already, and so may `up_splice` or
/// `down_splice`, whose buffer is empty then.
pub(crate) async fn tunnel(
    client: &mut impl ByteStream,
    service: &mut impl ByteStream,
    (up, down): (&mut Buffer, &mut Buffer),
    (mut up_splice, mut down_splice): (Option<Splice>, Option<Splice>),
    (bytes_up, bytes_down): (&Counter, &Counter),
) -> TunnelResult {
    let mut up = CopyLoop::new(up, &mut up_splice, bytes_up);
    let mut down = CopyLoop::new(down, &mut down_splice, bytes_down);
    let ended = std::future::poll_fn(|cx| {
        let upward = up.poll(cx, client, service);
        down.other = up.state;
        let downward = down.poll(cx, service, client);
        up.other = down.state;
        match (upward, downward) {
            (Poll::Ready(Err(BrokenSide::Source)), _) | (_, Poll::Ready(Err(BrokenSide::Sink))) => {
                Poll::Ready(TunnelEnd::ClientGone)
            }
            (Poll::Ready(Err(BrokenSide::Sink)), _) | (_, Poll::Ready(Err(BrokenSide::Source))) => {
                Poll::Ready(TunnelEnd::ServiceGone)
            }
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(TunnelEnd::Both),
            (Poll::Pending, _) | (_, Poll::Pending) => Poll::Pending,
        }
    })
    .await;
    let up_whole = up.state == FlowState::Ended;
    TunnelResult { ended, bytes_up: up.moved, bytes_down: down.moved, up_whole }
}

impl<'a> CopyLoop<'a> {
    pub(crate) const fn new(buffer: &'a mut Buffer, splice: &'a mut Option<Splice>, counter: &'a Counter) -> Self {
        Self { buffer, splice, counter, moved: 0, state: FlowState::Open, other: FlowState::Open }
    }

    /// Copies the available bytes. Ready when the end of the source was passed on, or a side failed.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut impl ByteStream,
        to: &mut impl ByteStream,
    ) -> Poll<Result<(), BrokenSide>> {
        loop {
            ready!(self.poll_empty(cx, to))?;
            match self.state {
                FlowState::Ended => return Poll::Ready(Ok(())),
                FlowState::Open => {
                    // A write under TLS may have left bytes in the session.
                    if ready!(Pin::new(&mut *to).poll_flush(cx)).is_err() {
                        return Poll::Ready(Err(BrokenSide::Sink));
                    }
                    if ready!(self.poll_fill_with_end(cx, from, to)).is_err() {
                        return Poll::Ready(Err(BrokenSide::Source));
                    }
                }
                FlowState::Ending => {
                    // When the other direction has ended too, both sockets are closed next, which passes on this end; TLS has an end of
                    // its own.
                    let closes_next = self.other == FlowState::Ended && to.plain().is_some();
                    if !closes_next && ready!(Pin::new(&mut *to).poll_shutdown(cx)).is_err() {
                        return Poll::Ready(Err(BrokenSide::Sink));
                    }
                    self.state = FlowState::Ended;
                }
            }
        }
    }

    /// Reads the end together with the last bytes if it has arrived: both then leave in one segment.
    fn poll_fill_with_end(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut impl ByteStream,
        to: &impl ByteStream,
    ) -> Poll<io::Result<()>> {
        let mut count = ready!(self.poll_fill(cx, from, to))?;
        if (1..BUFFER_LEN).contains(&count)
            && self.splice.is_none()
            && from.plain().is_some_and(|from| is_at_end(cx, from))
            && let Poll::Ready(after) = self.poll_fill(cx, from, to)
        {
            count = after?;
        }
        if count == 0 {
            self.state = FlowState::Ending;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut impl ByteStream,
        to: &impl ByteStream,
    ) -> Poll<io::Result<usize>> {
        if let Some(splice) = self.splice.as_mut().filter(|splice| splice.is_worthwhile())
            && let Some(from) = from.plain()
        {
            return splice.poll_fill(cx, from, u64::MAX);
        }
        *self.splice = None;
        let count = ready!(self.buffer.poll_fill(cx, from))?;
        if count == BUFFER_LEN_MAX {
            *self.splice = Splice::between(from, to);
        }
        Poll::Ready(Ok(count))
    }

    /// Writes everything that was read.
    pub(crate) fn poll_empty(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut impl ByteStream,
    ) -> Poll<Result<(), BrokenSide>> {
        while !self.buffer.is_empty() {
            let sent = match (self.state, to.plain()) {
                (FlowState::Ending, Some(to)) => poll_send_before_end(cx, to, self.buffer.filled()),
                (FlowState::Ending, None) | (FlowState::Open | FlowState::Ended, _) => {
                    Pin::new(&mut *to).poll_write(cx, self.buffer.filled())
                }
            };
            match ready!(sent) {
                Ok(0) | Err(_) => return Poll::Ready(Err(BrokenSide::Sink)),
                Ok(sent) => {
                    self.buffer.consume(sent);
                    self.count_sent(sent);
                }
            }
        }
        while let Some(splice) = self.splice.as_mut().filter(|splice| !splice.is_empty())
            && let Some(to) = to.plain()
        {
            match ready!(splice.poll_empty(cx, to)) {
                Ok(0) | Err(_) => return Poll::Ready(Err(BrokenSide::Sink)),
                Ok(sent) => self.count_sent(sent),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn count_sent(&mut self, sent: usize) {
        self.moved += sent as u64;
        self.counter.add_bytes(sent);
    }
}

/// Whether the peer of a socket has ended its side cleanly, as far as the runtime knows without a system call. Must be called after a
/// read that did not use all of its room.
fn is_at_end(cx: &mut Context<'_>, from: &TcpStream) -> bool {
    // After such a read only a socket that has ended or failed stays ready, and looking that up is cheap.
    if from.poll_read_ready(cx).is_pending() {
        return false;
    }
    let readiness = pin!(from.ready(Interest::READABLE | Interest::ERROR)).poll(cx);
    matches!(readiness, Poll::Ready(Ok(ready)) if ready.is_read_closed() && !ready.is_error())
}

/// Writes bytes that the end of the stream follows at once, and makes the kernel wait for that end.
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
