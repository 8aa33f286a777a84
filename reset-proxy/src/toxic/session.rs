//! One connection through a named proxy: two sockets, and the toxics of each direction.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, Sleep, sleep_until},
};

use crate::{
    toxic::{
        definition::Toxic,
        direction::{Direction, DirectionEnd},
        sampler::RandomKey,
        step::Stream,
        traffic::{ResetCause, Traffic},
    },
    transport::{
        endings::{close, reset},
        tunnel::BrokenSide,
    },
};

/// The toxics of a proxy, in the order in which they were created.
pub(crate) type Toxics = Arc<[Arc<Toxic>]>;

/// One connection through a named proxy.
#[derive(Debug)]
pub(crate) struct Session {
    client: TcpStream,
    service: TcpStream,
    up: Direction,
    down: Direction,
    traffic: Arc<Traffic>,
    sleep: Option<Pin<Box<Sleep>>>,
}

/// How a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SessionEnd {
    /// Both sides ended cleanly.
    Finished,
    /// A toxic closes both sides, or the proxy was stopped.
    Closed,
    /// A toxic on this stream resets both sides.
    Reset(Stream),
    ClientGone,
    ServiceGone,
}

impl Session {
    pub(crate) fn new(client: TcpStream, service: TcpStream, key: &RandomKey, traffic: Arc<Traffic>) -> Self {
        let (up, down) = (Direction::new(Stream::Upstream, key), Direction::new(Stream::Downstream, key));
        Self { client, service, up, down, traffic, sleep: None }
    }

    /// Passes bytes through the present toxics until something ends the connection.
    pub(crate) async fn run(mut self, mut toxics: watch::Receiver<Toxics>) {
        let end = self.pass(&mut toxics).await;
        let Self { client, service, traffic, .. } = self;
        match end {
            SessionEnd::Finished => {}
            SessionEnd::Closed => {
                tokio::join!(close(client), close(service));
            }
            SessionEnd::Reset(stream) => {
                traffic.count_reset(ResetCause::Toxic(stream));
                reset(client);
                reset(service);
            }
            SessionEnd::ClientGone => {
                traffic.count_reset(ResetCause::PassedOn(Stream::Upstream));
                reset(service);
            }
            SessionEnd::ServiceGone => {
                traffic.count_reset(ResetCause::PassedOn(Stream::Downstream));
                reset(client);
            }
        }
    }

    /// Passes bytes until the connection is to end. Stopping the proxy closes the channel of the toxics.
    async fn pass(&mut self, toxics: &mut watch::Receiver<Toxics>) -> SessionEnd {
        self.reconcile(&toxics.borrow_and_update());
        loop {
            tokio::select! {
                biased;
                changed = toxics.changed() => {
                    if changed.is_err() {
                        return SessionEnd::Closed;
                    }
                    self.reconcile(&toxics.borrow_and_update());
                }
                end = poll_fn(|cx| self.poll(cx)) => return end,
            }
        }
    }

    fn reconcile(&mut self, toxics: &[Arc<Toxic>]) {
        let now = Instant::now();
        for direction in [&mut self.up, &mut self.down] {
            direction.reconcile(toxics, now);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<SessionEnd> {
        loop {
            let (up_state, down_state) = (self.up.visible_state(), self.down.visible_state());
            let up = self.up.poll(cx, &mut self.client, &mut self.service, (&self.traffic.up, down_state));
            let down = self.down.poll(cx, &mut self.service, &mut self.client, (&self.traffic.down, up_state));
            if let Some(end) = session_end(&up, &down) {
                return Poll::Ready(end);
            }
            let Some(wake) = earlier(self.up.wake, self.down.wake) else { return Poll::Pending };
            match &mut self.sleep {
                Some(sleep) if sleep.deadline() == wake => {}
                Some(sleep) => sleep.as_mut().reset(wake),
                None => self.sleep = Some(Box::pin(sleep_until(wake))),
            }
            let Some(sleep) = &mut self.sleep else { return Poll::Pending };
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

fn session_end(up: &Poll<DirectionEnd>, down: &Poll<DirectionEnd>) -> Option<SessionEnd> {
    Some(match (up, down) {
        (Poll::Ready(DirectionEnd::Reset), _) => SessionEnd::Reset(Stream::Upstream),
        (_, Poll::Ready(DirectionEnd::Reset)) => SessionEnd::Reset(Stream::Downstream),
        (Poll::Ready(DirectionEnd::Closed), _) | (_, Poll::Ready(DirectionEnd::Closed)) => SessionEnd::Closed,
        (Poll::Ready(DirectionEnd::Broken(BrokenSide::Source)), _)
        | (_, Poll::Ready(DirectionEnd::Broken(BrokenSide::Sink))) => SessionEnd::ClientGone,
        (Poll::Ready(DirectionEnd::Broken(BrokenSide::Sink)), _)
        | (_, Poll::Ready(DirectionEnd::Broken(BrokenSide::Source))) => SessionEnd::ServiceGone,
        (Poll::Ready(DirectionEnd::Finished), Poll::Ready(DirectionEnd::Finished)) => SessionEnd::Finished,
        (Poll::Pending, _) | (_, Poll::Pending) => return None,
    })
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}
