//! Copies bytes between a client and a service under TLS in both directions, for connections that are not HTTP/1. The kernel cannot
//! help here, because every byte is encrypted on its way.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use paylab_part::tls::TlsStream;
use tokio::{io::AsyncWrite, net::TcpStream};

use crate::{
    counter::Counter,
    transport::{
        buffer::Buffer,
        service_stream::Readable,
        tunnel::{BrokenSide, FlowState, TunnelEnd, TunnelResult},
    },
};

/// One direction.
struct Flow<'a> {
    buffer: &'a mut Buffer,
    counter: &'a Counter,
    moved: u64,
    state: FlowState,
}

/// Copies bytes until both sides have ended or one fails. The buffers `up` and `down` may hold bytes already.
pub(crate) async fn tunnel_tls(
    client: &mut TcpStream,
    service: &mut TlsStream,
    (up, down): (&mut Buffer, &mut Buffer),
    (bytes_up, bytes_down): (&Counter, &Counter),
) -> TunnelResult {
    let mut up = Flow { buffer: up, counter: bytes_up, moved: 0, state: FlowState::Open };
    let mut down = Flow { buffer: down, counter: bytes_down, moved: 0, state: FlowState::Open };
    let ended = std::future::poll_fn(|cx| match (up.poll(cx, client, service), down.poll(cx, service, client)) {
        (Poll::Ready(Err(BrokenSide::Source)), _) | (_, Poll::Ready(Err(BrokenSide::Sink))) => {
            Poll::Ready(TunnelEnd::ClientGone)
        }
        (Poll::Ready(Err(BrokenSide::Sink)), _) | (_, Poll::Ready(Err(BrokenSide::Source))) => {
            Poll::Ready(TunnelEnd::ServiceGone)
        }
        (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(TunnelEnd::Both),
        (Poll::Pending, _) | (_, Poll::Pending) => Poll::Pending,
    })
    .await;
    let up_whole = up.state == FlowState::Ended;
    TunnelResult { ended, bytes_up: up.moved, bytes_down: down.moved, up_whole }
}

impl Flow<'_> {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut impl Readable,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<Result<(), BrokenSide>> {
        loop {
            while !self.buffer.is_empty() {
                match ready!(Pin::new(&mut *to).poll_write(cx, self.buffer.filled())) {
                    Ok(0) | Err(_) => return Poll::Ready(Err(BrokenSide::Sink)),
                    Ok(sent) => {
                        self.buffer.consume(sent);
                        self.moved += sent as u64;
                        self.counter.add_bytes(sent);
                    }
                }
            }
            match self.state {
                FlowState::Ended => return Poll::Ready(Ok(())),
                FlowState::Open => {
                    // A write may have left bytes in the session.
                    if ready!(Pin::new(&mut *to).poll_flush(cx)).is_err() {
                        return Poll::Ready(Err(BrokenSide::Sink));
                    }
                    match ready!(self.buffer.poll_fill(cx, from)) {
                        Ok(0) => self.state = FlowState::Ending,
                        Ok(_) => {}
                        Err(_) => return Poll::Ready(Err(BrokenSide::Source)),
                    }
                }
                FlowState::Ending => {
                    if ready!(Pin::new(&mut *to).poll_shutdown(cx)).is_err() {
                        return Poll::Ready(Err(BrokenSide::Sink));
                    }
                    self.state = FlowState::Ended;
                }
            }
        }
    }
}
