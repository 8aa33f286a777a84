//! One connection through a named proxy: two sockets, and a chain of toxics each way. While a stream has no toxic, its
//! bytes take the plain way of `tunnel`.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::{
    io::AsyncWrite,
    net::TcpStream,
    sync::watch,
    time::{Instant, Sleep, sleep_until},
};

use crate::{
    metrics::{Direction, Resets, Traffic, add},
    toxic::chain::{Chain, Lot},
    toxic::definition::{Step, Stream, Toxic},
    toxic::queue::{Chunk, End},
    transport::buffer::Buffer,
    transport::endings::{close, reset},
    transport::splice::Splice,
    transport::tunnel::{Broken, Flow, Lane},
};

/// One direction moves bytes so often before others have their turn.
const TURNS_MAX: usize = 64;

/// The toxics of a proxy, in the order in which they were made.
pub(crate) type Toxics = Arc<[Arc<Toxic>]>;

/// One connection.
#[derive(Debug)]
pub(crate) struct Link {
    client: TcpStream,
    service: TcpStream,
    up: Way,
    down: Way,
    traffic: Arc<Traffic>,
    sleep: Option<Pin<Box<Sleep>>>,
}

/// One direction of it.
#[derive(Debug)]
struct Way {
    buffer: Buffer,
    splice: Option<Splice>,
    flow: Flow,
    chain: Chain,
    /// When something moves by itself.
    wake: Option<Instant>,
}

/// How one direction stopped.
enum Stopped {
    /// Its end was passed on.
    Ended,
    /// A toxic closes the connection.
    Closed,
    /// A toxic resets the connection.
    Reset,
    Broken(Broken),
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Farewell {
    Both,
    Closed,
    Reset(Stream),
    ClientGone,
    ServiceGone,
}

impl Link {
    pub(crate) fn new(client: TcpStream, service: TcpStream, lot: &Lot, traffic: Arc<Traffic>) -> Self {
        let (up, down) = (Way::new(Stream::Upstream, lot), Way::new(Stream::Downstream, lot));
        Self { client, service, up, down, traffic, sleep: None }
    }

    /// Passes bytes as the toxics of the moment say, until something ends the connection.
    pub(crate) async fn run(mut self, mut toxics: watch::Receiver<Toxics>) {
        let farewell = self.pass(&mut toxics).await;
        let Self { client, service, traffic, .. } = self;
        match farewell {
            Farewell::Both => {}
            Farewell::Closed => {
                tokio::join!(close(client), close(service));
            }
            Farewell::Reset(stream) => {
                traffic.count_reset(Resets::Toxic(stream));
                reset(client);
                reset(service);
            }
            Farewell::ClientGone => {
                traffic.count_reset(Resets::PassedOn(Stream::Upstream));
                reset(service);
            }
            Farewell::ServiceGone => {
                traffic.count_reset(Resets::PassedOn(Stream::Downstream));
                reset(client);
            }
        }
    }

    /// Ends when the connection is to end; a proxy that is stopped closes it.
    async fn pass(&mut self, toxics: &mut watch::Receiver<Toxics>) -> Farewell {
        self.reconcile(&toxics.borrow_and_update());
        loop {
            tokio::select! {
                biased;
                changed = toxics.changed() => {
                    if changed.is_err() {
                        return Farewell::Closed;
                    }
                    self.reconcile(&toxics.borrow_and_update());
                }
                farewell = poll_fn(|cx| self.poll(cx)) => return farewell,
            }
        }
    }

    fn reconcile(&mut self, toxics: &[Arc<Toxic>]) {
        let now = Instant::now();
        for way in [&mut self.up, &mut self.down] {
            if way.chain.has_toxics() || !toxics.is_empty() {
                way.chain.reconcile(toxics, now);
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Farewell> {
        loop {
            let (up_reached, down_reached) = (self.up.reached(), self.down.reached());
            let up = self.up.poll(cx, &mut self.client, &mut self.service, (&self.traffic.up, down_reached));
            let down = self.down.poll(cx, &mut self.service, &mut self.client, (&self.traffic.down, up_reached));
            if let Some(farewell) = farewell(&up, &down) {
                return Poll::Ready(farewell);
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

fn farewell(up: &Poll<Stopped>, down: &Poll<Stopped>) -> Option<Farewell> {
    Some(match (up, down) {
        (Poll::Ready(Stopped::Reset), _) => Farewell::Reset(Stream::Upstream),
        (_, Poll::Ready(Stopped::Reset)) => Farewell::Reset(Stream::Downstream),
        (Poll::Ready(Stopped::Closed), _) | (_, Poll::Ready(Stopped::Closed)) => Farewell::Closed,
        (Poll::Ready(Stopped::Broken(Broken::Source)), _) | (_, Poll::Ready(Stopped::Broken(Broken::Sink))) => {
            Farewell::ClientGone
        }
        (Poll::Ready(Stopped::Broken(Broken::Sink)), _) | (_, Poll::Ready(Stopped::Broken(Broken::Source))) => {
            Farewell::ServiceGone
        }
        (Poll::Ready(Stopped::Ended), Poll::Ready(Stopped::Ended)) => Farewell::Both,
        (Poll::Pending, _) | (_, Poll::Pending) => return None,
    })
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

impl Way {
    fn new(stream: Stream, lot: &Lot) -> Self {
        let chain = Chain::new(stream, lot.clone());
        Self { buffer: Buffer::new(), splice: None, flow: Flow::Open, chain, wake: None }
    }

    /// How far it has come for the other direction, which must not take a toxic's pause for the end.
    const fn reached(&self) -> Flow {
        if self.wake.is_some() { Flow::Open } else { self.flow }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut TcpStream,
        to: &mut TcpStream,
        (direction, other): (&Direction, Flow),
    ) -> Poll<Stopped> {
        for _ in 0..TURNS_MAX {
            self.wake = None;
            if self.chain.is_plain() {
                return self.poll_plain(cx, from, to, (direction, other));
            }
            let before = self.chain.turns();
            if let Err(broken) = self.fill(cx, from, direction) {
                return Poll::Ready(Stopped::Broken(broken));
            }
            match self.chain.advance(Instant::now()) {
                Step::Wait => {}
                Step::Until(due) => self.wake = Some(due),
                Step::Reset => return Poll::Ready(Stopped::Reset),
            }
            match self.empty(cx, to, direction) {
                Ok(Poll::Ready(Some(stopped))) => return Poll::Ready(stopped),
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(None)) if self.chain.turns() == before => return Poll::Pending,
                Ok(Poll::Ready(None)) => {}
                Err(broken) => return Poll::Ready(Stopped::Broken(broken)),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_plain(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut TcpStream,
        to: &mut TcpStream,
        (direction, other): (&Direction, Flow),
    ) -> Poll<Stopped> {
        let mut lane = Lane::new(&mut self.buffer, &mut self.splice, &direction.plain);
        (lane.state, lane.other) = (self.flow, other);
        let passed = lane.poll(cx, from, to);
        self.flow = lane.state;
        passed.map(|passed| passed.map_or_else(Stopped::Broken, |()| Stopped::Ended))
    }

    /// Reads once into the chain, if there is room. Without toxics nothing more is read until all has passed.
    fn fill(&mut self, cx: &mut Context<'_>, from: &mut TcpStream, direction: &Direction) -> Result<(), Broken> {
        if !self.chain.has_toxics() && self.buffer.is_empty() && self.flow == Flow::Open {
            return Ok(());
        }
        if self.flow == Flow::Open && self.buffer.is_empty() && self.chain.input().has_room() {
            match self.buffer.poll_fill(cx, from) {
                Poll::Ready(Ok(0)) => self.flow = Flow::Ending,
                Poll::Ready(Ok(_)) | Poll::Pending => {}
                Poll::Ready(Err(_)) => return Err(Broken::Source),
            }
        }
        if !self.buffer.is_empty() {
            let bytes = Bytes::copy_from_slice(self.buffer.filled());
            self.buffer.consume(bytes.len());
            add(&direction.received, bytes.len());
            self.chain.input().push(Chunk { bytes, received: Instant::now() });
        }
        if self.flow != Flow::Open {
            self.chain.input().end(End::Finished);
        }
        Ok(())
    }

    /// Writes what has passed the chain. `Ready(None)` when nothing more is there to be written.
    fn empty(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut TcpStream,
        direction: &Direction,
    ) -> Result<Poll<Option<Stopped>>, Broken> {
        if self.splice.is_some() {
            // What the kernel still holds was let through before there was a toxic.
            let mut lane = Lane::new(&mut self.buffer, &mut self.splice, &direction.plain);
            match lane.poll_empty(cx, to) {
                Poll::Ready(emptied) => emptied?,
                Poll::Pending => return Ok(Poll::Pending),
            }
            self.splice = None;
        }
        let output = &mut self.chain.output;
        while let Some(front) = output.front() {
            match Pin::new(&mut *to).poll_write(cx, &front.bytes) {
                Poll::Ready(Ok(0) | Err(_)) => return Err(Broken::Sink),
                Poll::Ready(Ok(sent)) => {
                    add(&direction.sent, sent);
                    output.pop_some(sent);
                }
                Poll::Pending => return Ok(Poll::Pending),
            }
        }
        match output.ended() {
            End::Closed => Ok(Poll::Ready(Some(Stopped::Closed))),
            End::Finished if self.flow != Flow::Ended => match Pin::new(&mut *to).poll_shutdown(cx) {
                Poll::Ready(Ok(())) => {
                    self.flow = Flow::Ended;
                    Ok(Poll::Ready(self.rest()))
                }
                Poll::Ready(Err(_)) => Err(Broken::Sink),
                Poll::Pending => Ok(Poll::Pending),
            },
            End::Finished => Ok(Poll::Ready(self.rest())),
            End::Open => Ok(Poll::Ready(None)),
        }
    }

    /// The end was passed on; a toxic may still have something in mind.
    fn rest(&self) -> Option<Stopped> {
        self.wake.is_none().then_some(Stopped::Ended)
    }
}
