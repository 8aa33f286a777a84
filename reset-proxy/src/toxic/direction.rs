//! One direction of a session: bytes are read, pass the chain of toxics, and are written. While the direction has no
//! toxic, its bytes are copied by a `CopyLoop`.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::{io::AsyncWrite, net::TcpStream, time::Instant};

use crate::{
    toxic::{
        chain::ToxicChain,
        definition::Toxic,
        queue::{Chunk, QueueEnd},
        sampler::RandomKey,
        step::{Stream, ToxicStep},
        traffic::ByteCounts,
    },
    transport::{
        buffer::Buffer,
        splice::Splice,
        tunnel::{BrokenSide, CopyLoop, FlowState},
    },
};

/// How often one direction moves bytes before others have their turn.
const ROUNDS_MAX: usize = 64;

/// One direction of a session.
#[derive(Debug)]
pub(crate) struct Direction {
    buffer: Buffer,
    splice: Option<Splice>,
    flow: FlowState,
    chain: ToxicChain,
    /// When a toxic can move bytes without new ones arriving.
    pub(crate) wake: Option<Instant>,
}

/// How one direction ended.
pub(crate) enum DirectionEnd {
    /// The end of its source was passed on.
    Finished,
    /// A toxic closes the connection.
    Closed,
    /// A toxic resets the connection.
    Reset,
    Broken(BrokenSide),
}

impl Direction {
    pub(crate) fn new(stream: Stream, key: &RandomKey) -> Self {
        let chain = ToxicChain::new(stream, key.clone());
        Self { buffer: Buffer::new(), splice: None, flow: FlowState::Open, chain, wake: None }
    }

    /// Takes over the toxics as they are now.
    pub(crate) fn reconcile(&mut self, toxics: &[Arc<Toxic>], now: Instant) {
        if self.chain.has_toxics() || !toxics.is_empty() {
            self.chain.reconcile(toxics, now);
        }
    }

    /// The state that the other direction sees. While a toxic waits, the direction has not ended for it.
    pub(crate) const fn visible_state(&self) -> FlowState {
        if self.wake.is_some() { FlowState::Open } else { self.flow }
    }

    /// Moves all bytes that can be moved now. Ready when the direction has ended.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut TcpStream,
        to: &mut TcpStream,
        (counts, other): (&ByteCounts, FlowState),
    ) -> Poll<DirectionEnd> {
        for _ in 0..ROUNDS_MAX {
            self.wake = None;
            if self.chain.is_transparent() {
                return self.poll_copy(cx, from, to, (counts, other));
            }
            let before = self.chain.changes();
            if let Err(broken) = self.fill(cx, from, counts) {
                return Poll::Ready(DirectionEnd::Broken(broken));
            }
            match self.chain.advance(Instant::now()) {
                ToxicStep::Wait => {}
                ToxicStep::Until(due) => self.wake = Some(due),
                ToxicStep::Reset => return Poll::Ready(DirectionEnd::Reset),
            }
            match self.empty(cx, to, counts) {
                Ok(Poll::Ready(Some(end))) => return Poll::Ready(end),
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(None)) if self.chain.changes() == before => return Poll::Pending,
                Ok(Poll::Ready(None)) => {}
                Err(broken) => return Poll::Ready(DirectionEnd::Broken(broken)),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut TcpStream,
        to: &mut TcpStream,
        (counts, other): (&ByteCounts, FlowState),
    ) -> Poll<DirectionEnd> {
        let mut copy = CopyLoop::new(&mut self.buffer, &mut self.splice, &counts.copied);
        (copy.state, copy.other) = (self.flow, other);
        let copied = copy.poll(cx, from, to);
        self.flow = copy.state;
        copied.map(|copied| copied.map_or_else(DirectionEnd::Broken, |()| DirectionEnd::Finished))
    }

    /// Reads once into the chain, if there is room. Without toxics nothing is read until the chain is empty.
    fn fill(&mut self, cx: &mut Context<'_>, from: &mut TcpStream, counts: &ByteCounts) -> Result<(), BrokenSide> {
        if !self.chain.has_toxics() && self.buffer.is_empty() && self.flow == FlowState::Open {
            return Ok(());
        }
        if self.flow == FlowState::Open && self.buffer.is_empty() && self.chain.input().has_room() {
            match self.buffer.poll_fill(cx, from) {
                Poll::Ready(Ok(0)) => self.flow = FlowState::Ending,
                Poll::Ready(Ok(_)) | Poll::Pending => {}
                Poll::Ready(Err(_)) => return Err(BrokenSide::Source),
            }
        }
        if !self.buffer.is_empty() {
            let bytes = Bytes::copy_from_slice(self.buffer.filled());
            self.buffer.consume(bytes.len());
            counts.received.add_bytes(bytes.len());
            self.chain.input().push(Chunk { bytes, received: Instant::now() });
        }
        if self.flow != FlowState::Open {
            self.chain.input().end(QueueEnd::Finished);
        }
        Ok(())
    }

    /// Writes what has passed the chain. `Ready(None)` when nothing is left to be written.
    fn empty(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut TcpStream,
        counts: &ByteCounts,
    ) -> Result<Poll<Option<DirectionEnd>>, BrokenSide> {
        if self.splice.is_some() {
            // The kernel may still hold bytes that passed before there was a toxic.
            let mut copy = CopyLoop::new(&mut self.buffer, &mut self.splice, &counts.copied);
            match copy.poll_empty(cx, to) {
                Poll::Ready(emptied) => emptied?,
                Poll::Pending => return Ok(Poll::Pending),
            }
            self.splice = None;
        }
        let output = &mut self.chain.output;
        while let Some(front) = output.front() {
            match Pin::new(&mut *to).poll_write(cx, &front.bytes) {
                Poll::Ready(Ok(0) | Err(_)) => return Err(BrokenSide::Sink),
                Poll::Ready(Ok(sent)) => {
                    counts.sent.add_bytes(sent);
                    output.pop_some(sent);
                }
                Poll::Pending => return Ok(Poll::Pending),
            }
        }
        match output.ended() {
            QueueEnd::Closed => Ok(Poll::Ready(Some(DirectionEnd::Closed))),
            QueueEnd::Finished if self.flow != FlowState::Ended => match Pin::new(&mut *to).poll_shutdown(cx) {
                Poll::Ready(Ok(())) => {
                    self.flow = FlowState::Ended;
                    Ok(Poll::Ready(self.finished()))
                }
                Poll::Ready(Err(_)) => Err(BrokenSide::Sink),
                Poll::Pending => Ok(Poll::Pending),
            },
            QueueEnd::Finished => Ok(Poll::Ready(self.finished())),
            QueueEnd::Open => Ok(Poll::Ready(None)),
        }
    }

    /// The end was passed on, but a toxic may still have a timer pending.
    fn finished(&self) -> Option<DirectionEnd> {
        self.wake.is_none().then_some(DirectionEnd::Finished)
    }
}
