//! One message on its way from a socket to another, whole or in part. It must not know why only a part may pass.

use std::{
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, ready},
};

use tokio::{io::AsyncWrite, net::TcpStream};

use crate::{http::head::Body, transport::buffer::Buffer};

/// One direction of a connection: what was read and not yet passed on, and how far its message has come.
#[derive(Debug)]
pub(crate) struct Passage {
    pub(crate) buffer: Buffer,
    /// Bytes at the front of the buffer that are known to belong to the message.
    framed: usize,
    head_len: u64,
    body: Body,
    /// Bytes of the body that have come.
    body_seen: u64,
    allowance: Allowance,
    /// Bytes of the message that were passed on.
    moved: u64,
}

/// How much of a message may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Portion {
    Whole,
    /// The head and half of the body, or of a bare head all but its last byte: never the whole.
    Part,
}

/// Why a message moves no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moved {
    Whole,
    /// As much of it as may pass.
    Cut,
    /// Its sender broke off.
    SourceGone,
    /// Its receiver takes no more.
    SinkGone,
}

/// How many bytes may pass, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Allowance {
    All,
    /// So many, and then no more.
    Until(u64),
    /// So many for now: how much is a part shows only when more has come.
    AtFirst(u64),
}

impl Passage {
    pub(crate) fn new() -> Self {
        let (body, allowance) = (Body::Length(0), Allowance::All);
        Self { buffer: Buffer::new(), framed: 0, head_len: 0, body, body_seen: 0, allowance, moved: 0 }
    }

    /// A message begins at the front of the buffer, with a head of this length.
    pub(crate) fn begin(&mut self, head_len: usize, body: Body, portion: Portion) {
        self.framed = head_len;
        self.head_len = head_len as u64;
        self.body = body;
        self.body_seen = 0;
        self.allowance = Allowance::of(portion, self.head_len, body);
        self.moved = 0;
    }

    /// Bytes of the message that were passed on.
    pub(crate) const fn moved(&self) -> u64 {
        self.moved
    }

    /// Moves the message on until nothing more of it may or can pass. `count` counts the bytes as they go.
    pub(crate) fn poll_move(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut TcpStream,
        to: &mut TcpStream,
        count: &AtomicU64,
    ) -> Poll<Moved> {
        loop {
            self.frame();
            let sendable = self.sendable();
            if sendable > 0 {
                match ready!(Pin::new(&mut *to).poll_write(cx, &self.buffer.filled()[..sendable])) {
                    Ok(0) | Err(_) => return Poll::Ready(Moved::SinkGone),
                    Ok(sent) => self.pass(sent, count),
                }
                continue;
            }
            match self.allowance {
                Allowance::Until(limit) if self.moved >= limit => return Poll::Ready(Moved::Cut),
                Allowance::All | Allowance::Until(_) | Allowance::AtFirst(_) => {}
            }
            if self.body.is_done() {
                return Poll::Ready(Moved::Whole);
            }
            match ready!(self.buffer.poll_fill(cx, from)) {
                Ok(0) if self.body.ends_with_stream() => return Poll::Ready(self.ended_with_stream()),
                Ok(0) | Err(_) => return Poll::Ready(Moved::SourceGone),
                Ok(_) => {}
            }
        }
    }

    /// Reads the message to its end and passes none of it on.
    pub(crate) fn poll_discard(&mut self, cx: &mut Context<'_>, from: &mut TcpStream) -> Poll<Moved> {
        loop {
            self.frame();
            self.buffer.consume(self.framed);
            self.framed = 0;
            if self.body.is_done() {
                return Poll::Ready(Moved::Whole);
            }
            match ready!(self.buffer.poll_fill(cx, from)) {
                Ok(0) if self.body.ends_with_stream() => return Poll::Ready(Moved::Whole),
                Ok(0) | Err(_) => return Poll::Ready(Moved::SourceGone),
                Ok(_) => {}
            }
        }
    }

    /// Finds out how much of what has newly come belongs to the message.
    fn frame(&mut self) {
        let fresh = self.body.take(&self.buffer.filled()[self.framed..]);
        self.framed += fresh;
        self.body_seen += fresh as u64;
        if let (Allowance::AtFirst(_), 1..) = (self.allowance, self.body_seen) {
            self.allowance = Allowance::Until(self.head_len + self.body_seen / 2);
        }
    }

    fn sendable(&self) -> usize {
        match self.allowance {
            Allowance::All => self.framed,
            Allowance::Until(limit) | Allowance::AtFirst(limit) => {
                let left = limit.saturating_sub(self.moved);
                usize::try_from(left).unwrap_or(usize::MAX).min(self.framed)
            }
        }
    }

    fn pass(&mut self, sent: usize, count: &AtomicU64) {
        self.buffer.consume(sent);
        self.framed -= sent;
        self.moved += sent as u64;
        count.fetch_add(sent as u64, Ordering::Relaxed);
    }

    const fn ended_with_stream(&self) -> Moved {
        match self.allowance {
            Allowance::All => Moved::Whole,
            Allowance::Until(_) | Allowance::AtFirst(_) => Moved::Cut,
        }
    }
}

impl Allowance {
    const fn of(portion: Portion, head_len: u64, body: Body) -> Self {
        let bare_head = head_len.saturating_sub(1);
        match (portion, body) {
            (Portion::Whole, _) => Self::All,
            (Portion::Part, Body::Length(0)) => Self::Until(bare_head),
            (Portion::Part, Body::Length(length)) => Self::Until(head_len + length / 2),
            (Portion::Part, Body::Chunked(_)) => Self::AtFirst(head_len),
            (Portion::Part, Body::UntilEnd) => Self::AtFirst(bare_head),
        }
    }
}
