//! Two sockets as one stream of bytes in each direction, for what is not HTTP/1. Each side's end is passed on alone.

use std::{
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, ready},
};

use tokio::{io::AsyncWrite, net::TcpStream};

use crate::{buffer::Buffer, counters::Counters};

/// One direction: from where to where, and how far.
#[derive(Debug)]
pub(crate) struct Lane<'a> {
    pub(crate) buffer: &'a mut Buffer,
    pub(crate) count: &'a AtomicU64,
    pub(crate) moved: u64,
    pub(crate) state: Flow,
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
    let mut up = Lane { buffer: up, count: &counters.bytes_up, moved: 0, state: Flow::Open };
    let mut down = Lane { buffer: down, count: &counters.bytes_down, moved: 0, state: Flow::Open };
    let ended = std::future::poll_fn(|cx| {
        let upward = up.poll(cx, client, service);
        let downward = down.poll(cx, service, client);
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

impl Lane<'_> {
    /// Passes on what there is; ready when the end was passed on, or a side broke.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut TcpStream,
        to: &mut TcpStream,
    ) -> Poll<Result<(), Broken>> {
        loop {
            match self.state {
                Flow::Ended => return Poll::Ready(Ok(())),
                Flow::Open | Flow::Ending if !self.buffer.is_empty() => {
                    match ready!(Pin::new(&mut *to).poll_write(cx, self.buffer.filled())) {
                        Ok(0) | Err(_) => return Poll::Ready(Err(Broken::Sink)),
                        Ok(sent) => self.pass(sent),
                    }
                }
                Flow::Open => match ready!(self.buffer.poll_fill(cx, from)) {
                    Ok(0) => self.state = Flow::Ending,
                    Ok(_) => {}
                    Err(_) => return Poll::Ready(Err(Broken::Source)),
                },
                Flow::Ending => {
                    if ready!(Pin::new(&mut *to).poll_shutdown(cx)).is_err() {
                        return Poll::Ready(Err(Broken::Sink));
                    }
                    self.state = Flow::Ended;
                }
            }
        }
    }

    fn pass(&mut self, sent: usize) {
        self.buffer.consume(sent);
        self.moved += sent as u64;
        self.count.fetch_add(sent as u64, Ordering::Relaxed);
    }
}
