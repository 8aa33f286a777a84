//! Copies one HTTP message from a socket to another, in whole or in part. It must not know why only a part may pass.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use crate::{
    counter::Counter,
    http::body::BodyEnd,
    transport::{
        buffer::{BUFFER_LEN_MAX, Buffer},
        service_stream::ByteStream,
        splice::Splice,
    },
};

/// So many bytes of a body must follow, and no fate act within them, before they are spliced.
const SPLICED_LEN_MIN: u64 = BUFFER_LEN_MAX as u64;

/// One direction of a connection: the bytes that were read and not yet passed on, and the progress of the message they
/// belong to.
#[derive(Debug)]
pub(crate) struct MessageCopy {
    pub(crate) buffer: Buffer,
    /// Moves the bytes of a long body past the buffer, behind what it holds.
    splice: Option<Box<Splice>>,
    /// How many bytes at the front of the buffer are known to belong to the message.
    framed: usize,
    head_len: u64,
    body: BodyEnd,
    /// How many bytes of the body have been read.
    body_read: u64,
    allowance: Allowance,
    /// How many bytes of the message were passed on.
    forwarded: u64,
}

/// How much of a message may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Portion {
    Whole,
    /// The head and half of the body, or all but the last byte of a message without a body: never the whole message.
    Part,
}

/// Why no more of a message is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessageCopyEnd {
    /// All of it was copied.
    Whole,
    /// As much of it as may pass was copied.
    AtLimit,
    /// The source ended or failed before the end of the message.
    SourceGone,
    /// The sink takes no more bytes.
    SinkGone,
    /// Nobody knows where it ends. What was read of it since is in the buffer.
    Broken,
}

/// How many bytes of a message may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Allowance {
    All,
    /// This many bytes.
    Until(u64),
    /// This many bytes for now. The final number is known once the first bytes of the body were read.
    AtFirst(u64),
}

impl MessageCopy {
    /// A direction whose buffer may hold so many bytes.
    pub(crate) fn new(buffer_len: usize) -> Self {
        let (body, allowance) = (BodyEnd::Length(0), Allowance::All);
        Self {
            buffer: Buffer::with_len_max(buffer_len),
            splice: None,
            framed: 0,
            head_len: 0,
            body,
            body_read: 0,
            allowance,
            forwarded: 0,
        }
    }

    /// Begins a message whose head of this length is at the front of the buffer.
    pub(crate) fn begin(&mut self, head_len: usize, body: BodyEnd, portion: Portion) {
        self.splice = None;
        self.framed = head_len;
        self.head_len = head_len as u64;
        self.body = body;
        self.body_read = 0;
        self.allowance = Allowance::of(portion, self.head_len, body);
        self.forwarded = 0;
    }

    /// Lets the rest of the message pass.
    pub(crate) const fn allow_all(&mut self) {
        self.allowance = Allowance::All;
    }

    /// What moves the bytes of a message whose end nobody waits for any more. It may hold some of them.
    pub(crate) fn take_splice(&mut self) -> Option<Splice> {
        self.splice.take().map(|splice| *splice)
    }

    /// How many bytes of the message were passed on.
    pub(crate) const fn forwarded(&self) -> u64 {
        self.forwarded
    }

    /// Copies as much of the message as may pass. `counter` counts the bytes while they are written.
    pub(crate) fn poll_forward(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut impl ByteStream,
        to: &mut impl ByteStream,
        counter: &Counter,
    ) -> Poll<MessageCopyEnd> {
        loop {
            if let Some(splice) = self.splice.as_deref_mut().filter(|splice| !splice.is_empty())
                && let Some(to) = to.plain()
            {
                match ready!(splice.poll_empty(cx, to)) {
                    Ok(0) | Err(_) => return Poll::Ready(MessageCopyEnd::SinkGone),
                    Ok(sent) => self.count_sent(sent, counter),
                }
                continue;
            }
            self.frame();
            if self.body.is_broken() {
                return Poll::Ready(MessageCopyEnd::Broken);
            }
            let sendable = self.sendable();
            if sendable > 0 {
                match ready!(Pin::new(&mut *to).poll_write(cx, &self.buffer.filled()[..sendable])) {
                    Ok(0) | Err(_) => return Poll::Ready(MessageCopyEnd::SinkGone),
                    Ok(sent) => {
                        self.buffer.consume(sent);
                        self.framed -= sent;
                        self.count_sent(sent, counter);
                    }
                }
                continue;
            }
            match self.allowance {
                Allowance::Until(limit) if self.forwarded >= limit => return Poll::Ready(MessageCopyEnd::AtLimit),
                Allowance::All | Allowance::Until(_) | Allowance::AtFirst(_) => {}
            }
            if self.body.is_done() {
                self.splice = None;
                return Poll::Ready(MessageCopyEnd::Whole);
            }
            match ready!(self.poll_fill(cx, from, to)) {
                Ok(0) if self.body.ends_with_stream() => return Poll::Ready(self.end_with_stream()),
                Ok(0) | Err(_) => return Poll::Ready(MessageCopyEnd::SourceGone),
                Ok(_) => {}
            }
        }
    }

    /// Reads what comes next, past the buffer where nobody has to look at it.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut impl ByteStream,
        to: &impl ByteStream,
    ) -> Poll<io::Result<usize>> {
        let ahead = self.unwatched_ahead();
        if let Some(splice) = self.splice.as_deref_mut().filter(|splice| ahead > 0 && splice.is_worthwhile())
            && let Some(from) = from.plain()
        {
            let count = ready!(splice.poll_fill(cx, from, ahead))?;
            self.body.take_unseen(count as u64);
            self.body_read += count as u64;
            return Poll::Ready(Ok(count));
        }
        self.splice = None;
        let count = ready!(self.buffer.poll_fill(cx, from))?;
        if count == BUFFER_LEN_MAX && ahead.saturating_sub(count as u64) >= SPLICED_LEN_MIN {
            self.splice = Splice::between(from, to).map(Box::new);
        }
        Poll::Ready(Ok(count))
    }

    /// How many of the next bytes pass whatever they are: they belong to the body, and no fate acts within them. 0 while the buffer holds
    /// bytes, which come before them.
    fn unwatched_ahead(&self) -> u64 {
        let allowed = match self.allowance {
            Allowance::All => u64::MAX,
            Allowance::Until(limit) => limit.saturating_sub(self.forwarded),
            Allowance::AtFirst(_) => 0,
        };
        if self.buffer.is_empty() { self.body.data_ahead().min(allowed) } else { 0 }
    }

    /// Reads the message to its end and passes none of it on.
    pub(crate) fn poll_discard(&mut self, cx: &mut Context<'_>, from: &mut impl ByteStream) -> Poll<MessageCopyEnd> {
        self.splice = None;
        loop {
            self.frame();
            if self.body.is_broken() {
                return Poll::Ready(MessageCopyEnd::Broken);
            }
            self.buffer.consume(self.framed);
            self.framed = 0;
            if self.body.is_done() {
                return Poll::Ready(MessageCopyEnd::Whole);
            }
            match ready!(self.buffer.poll_fill(cx, from)) {
                Ok(0) if self.body.ends_with_stream() => return Poll::Ready(MessageCopyEnd::Whole),
                Ok(0) | Err(_) => return Poll::Ready(MessageCopyEnd::SourceGone),
                Ok(_) => {}
            }
        }
    }

    /// Reads the message to its end, or until the buffer is full, and keeps it in the buffer.
    pub(crate) fn poll_collect(&mut self, cx: &mut Context<'_>, from: &mut impl ByteStream) -> Poll<MessageCopyEnd> {
        loop {
            self.frame();
            if self.body.is_broken() {
                return Poll::Ready(MessageCopyEnd::Broken);
            }
            if self.body.is_done() || self.buffer.is_full() {
                return Poll::Ready(MessageCopyEnd::AtLimit);
            }
            match ready!(self.buffer.poll_fill(cx, from)) {
                Ok(0) if self.body.ends_with_stream() => return Poll::Ready(MessageCopyEnd::AtLimit),
                Ok(0) | Err(_) => return Poll::Ready(MessageCopyEnd::SourceGone),
                Ok(_) => {}
            }
        }
    }

    /// Finds out how many of the newly read bytes belong to the message.
    fn frame(&mut self) {
        let new = self.body.take(&self.buffer.filled()[self.framed..]);
        self.framed += new;
        self.body_read += new as u64;
        if let (Allowance::AtFirst(_), 1..) = (self.allowance, self.body_read) {
            self.allowance = Allowance::Until(self.head_len + self.body_read / 2);
        }
    }

    fn sendable(&self) -> usize {
        match self.allowance {
            Allowance::All => self.framed,
            Allowance::Until(limit) | Allowance::AtFirst(limit) => {
                let left = limit.saturating_sub(self.forwarded);
                usize::try_from(left).unwrap_or(usize::MAX).min(self.framed)
            }
        }
    }

    fn count_sent(&mut self, sent: usize, counter: &Counter) {
        self.forwarded += sent as u64;
        counter.add_bytes(sent);
    }

    const fn end_with_stream(&self) -> MessageCopyEnd {
        match self.allowance {
            Allowance::All => MessageCopyEnd::Whole,
            Allowance::Until(_) | Allowance::AtFirst(_) => MessageCopyEnd::AtLimit,
        }
    }
}

impl Allowance {
    const fn of(portion: Portion, head_len: u64, body: BodyEnd) -> Self {
        let cut_head = head_len.saturating_sub(1);
        match (portion, body) {
            (Portion::Whole, _) => Self::All,
            (Portion::Part, BodyEnd::Length(0)) => Self::Until(cut_head),
            (Portion::Part, BodyEnd::Length(length)) => Self::Until(head_len + length / 2),
            (Portion::Part, BodyEnd::Chunked(_)) => Self::AtFirst(head_len),
            (Portion::Part, BodyEnd::UntilEnd) => Self::AtFirst(cut_head),
        }
    }
}
