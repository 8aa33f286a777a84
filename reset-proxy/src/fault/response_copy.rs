//! Copies the service's response to one request: interim responses, the final head, the body. It must not know of faults,
//! only how much of the response may pass.

use std::{
    future::poll_fn,
    task::{Context, Poll, ready},
    time::Duration,
};

use paylab_core::witness::record::BytesReason;
use tokio::{net::TcpStream, time::timeout};

use crate::{
    fault::{
        counters::Counters,
        message_copy::{MessageCopy, MessageCopyEnd, Portion},
    },
    http::{
        body::BodyEnd,
        head::{HeadLimits, ParsedHead},
        request::Method,
        response::{Persistence, ResponseHead, parse_response},
    },
    transport::service_stream::ServiceStream,
};

/// The longest response that is collected as a whole; a longer one is collected up to this length, in bytes.
const COLLECTED_LEN_MAX: usize = 16 * 1024 * 1024;
/// How long the service may take for a response that its client does not wait for.
const LATE_RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// The response to one request while it is copied.
#[derive(Debug)]
pub(crate) struct ResponseCopy<'a> {
    pub(crate) copy: &'a mut MessageCopy,
    pub(crate) progress: ResponseProgress,
}

/// How much of a response has been copied, apart from its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResponseProgress {
    method: Method,
    head_limits: HeadLimits,
    limit: ResponseLimit,
    stage: ResponseStage,
    /// What is known of the final response, once its head was read.
    pub(crate) head: Option<FinalHead>,
}

/// How much of the final response reaches the client. Interim responses always do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResponseLimit {
    Whole,
    Part,
    /// Nothing; it is read to its end and dropped.
    Discarded,
    /// Nothing yet; it is read to its end and kept.
    Collected,
}

/// What the head of a final response says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FinalHead {
    pub(crate) status: u16,
    pub(crate) persistence: Persistence,
    pub(crate) next_protocol: NextProtocol,
}

/// What a connection carries after a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NextProtocol {
    Http,
    /// Another protocol, to which this exchange has switched.
    Bytes,
}

/// Why no more of a response is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResponseEnd {
    /// All of it was forwarded or discarded.
    Whole,
    /// As much of it as may pass for now was forwarded.
    AtLimit,
    /// The service ended or failed before the end of the response.
    ServiceGone,
    /// The client takes no more bytes.
    ClientGone,
    /// It cannot be read, and nobody knows where it ends.
    Unreadable(BytesReason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ResponseStage {
    Head,
    Interim,
    Final,
    Done,
}

impl<'a> ResponseCopy<'a> {
    pub(crate) const fn new(
        copy: &'a mut MessageCopy,
        method: Method,
        head_limits: HeadLimits,
        limit: ResponseLimit,
    ) -> Self {
        let stage = ResponseStage::Head;
        Self { copy, progress: ResponseProgress { method, head_limits, limit, stage, head: None } }
    }

    /// How many bytes of the final response were sent to the client.
    pub(crate) const fn forwarded(&self) -> u64 {
        match self.progress.stage {
            ResponseStage::Head | ResponseStage::Interim => 0,
            ResponseStage::Final | ResponseStage::Done => self.copy.forwarded(),
        }
    }

    /// Whether the last byte of the response was read.
    pub(crate) fn is_done(&self) -> bool {
        self.progress.stage == ResponseStage::Done
    }

    /// Lets the rest of the response pass.
    pub(crate) fn allow_all(&mut self) {
        self.progress.limit = ResponseLimit::Whole;
        self.copy.allow_all();
        self.copy.buffer.set_len_max(self.progress.head_limits.buffer_len());
    }

    /// Finishes a response that an exchange has left, within a bound of time. Without a client the rest is discarded.
    /// `None` when the time was up.
    pub(crate) async fn finish_late(
        copy: &'a mut MessageCopy,
        progress: ResponseProgress,
        service: &mut ServiceStream,
        mut client: Option<&mut TcpStream>,
        counters: &Counters,
    ) -> (Option<ResponseEnd>, Self) {
        let mut response = Self { copy, progress };
        let finished = poll_fn(|cx| response.poll(cx, service, client.as_deref_mut(), counters));
        let end = timeout(LATE_RESPONSE_TIMEOUT, finished).await.ok();
        (end, response)
    }

    /// Copies the response to its end, or as far as it may pass. Without a client it is discarded.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        service: &mut ServiceStream,
        mut client: Option<&mut TcpStream>,
        counters: &Counters,
    ) -> Poll<ResponseEnd> {
        loop {
            let copied = match (self.progress.stage, self.progress.limit, client.as_deref_mut()) {
                (ResponseStage::Done, _, _) => return Poll::Ready(ResponseEnd::Whole),
                (ResponseStage::Head, _, _) => {
                    if let Err(end) = ready!(self.poll_head(cx, service, counters)) {
                        return Poll::Ready(end);
                    }
                    continue;
                }
                (ResponseStage::Final, ResponseLimit::Discarded, _) | (_, _, None) => {
                    ready!(self.copy.poll_discard(cx, service))
                }
                (ResponseStage::Final, ResponseLimit::Collected, Some(_)) => {
                    match ready!(self.copy.poll_collect(cx, service)) {
                        MessageCopyEnd::AtLimit => return Poll::Ready(ResponseEnd::AtLimit),
                        // The service broke off, or the rest cannot be read: the client gets what there is of the response.
                        MessageCopyEnd::Whole
                        | MessageCopyEnd::SourceGone
                        | MessageCopyEnd::SinkGone
                        | MessageCopyEnd::Broken => self.allow_all(),
                    }
                    continue;
                }
                (ResponseStage::Interim | ResponseStage::Final, _, Some(client)) => {
                    ready!(self.copy.poll_forward(cx, service, client, &counters.bytes_down))
                }
            };
            match copied {
                MessageCopyEnd::Whole if self.progress.stage == ResponseStage::Interim => {
                    self.progress.stage = ResponseStage::Head;
                }
                MessageCopyEnd::Whole => self.progress.stage = ResponseStage::Done,
                MessageCopyEnd::AtLimit => return Poll::Ready(ResponseEnd::AtLimit),
                MessageCopyEnd::SourceGone => return Poll::Ready(ResponseEnd::ServiceGone),
                MessageCopyEnd::SinkGone => return Poll::Ready(ResponseEnd::ClientGone),
                MessageCopyEnd::Broken => return Poll::Ready(ResponseEnd::Unreadable(BytesReason::ChunksBroken)),
            }
        }
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        service: &mut ServiceStream,
        counters: &Counters,
    ) -> Poll<Result<(), ResponseEnd>> {
        loop {
            if self.copy.buffer.may_end_head() {
                match parse_response(self.copy.buffer.filled(), self.progress.method, self.progress.head_limits) {
                    ParsedHead::Partial => {}
                    ParsedHead::Unreadable(reason) => {
                        return Poll::Ready(Err(ResponseEnd::Unreadable(reason)));
                    }
                    ParsedHead::Whole(head) => {
                        self.begin(&head, counters);
                        return Poll::Ready(Ok(()));
                    }
                }
            }
            match ready!(self.copy.buffer.poll_fill(cx, service)) {
                Ok(0) | Err(_) => return Poll::Ready(Err(ResponseEnd::ServiceGone)),
                Ok(_) => {}
            }
        }
    }

    fn begin(&mut self, head: &ResponseHead, counters: &Counters) {
        counters.count_response(head.status);
        if head.is_interim() {
            self.copy.begin(head.len, head.body, Portion::Whole);
            self.progress.stage = ResponseStage::Interim;
            return;
        }
        let switches = head.switches_protocol(self.progress.method);
        let next_protocol = if switches { NextProtocol::Bytes } else { NextProtocol::Http };
        let (status, persistence) = (head.status, head.persistence);
        self.progress.head = Some(FinalHead { status, persistence, next_protocol });
        self.begin_final(head.len, head.body);
    }

    fn begin_final(&mut self, head_len: usize, body: BodyEnd) {
        let portion = match self.progress.limit {
            ResponseLimit::Part => Portion::Part,
            ResponseLimit::Whole | ResponseLimit::Discarded | ResponseLimit::Collected => Portion::Whole,
        };
        self.copy.begin(head_len, body, portion);
        if self.progress.limit == ResponseLimit::Collected {
            self.copy.buffer.set_len_max(COLLECTED_LEN_MAX);
        }
        self.progress.stage = ResponseStage::Final;
    }
}
