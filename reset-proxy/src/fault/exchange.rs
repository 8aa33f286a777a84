//! One request and its response on two sockets, both directions at once, up to a limit or to the end. What then happens
//! to the sockets is decided elsewhere.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use paylab_core::witness::record::BytesReason;
use tokio::{io::AsyncWrite, net::TcpStream};

use crate::{
    fault::{
        counters::Counters,
        message_copy::{MessageCopy, MessageCopyEnd, Portion},
        plane::FaultPlane,
        record::Transfer,
        response_copy::{NextProtocol, ResponseCopy, ResponseEnd, ResponseLimit, ResponseProgress},
    },
    http::{request::RequestHead, response::Persistence},
    transport::service_stream::ServiceStream,
};

/// One exchange in progress.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    client: &'a mut TcpStream,
    service: &'a mut ServiceStream,
    counters: &'a Counters,
    limits: ExchangeLimits,
    up: &'a mut MessageCopy,
    request: RequestProgress,
    response: ResponseCopy<'a>,
}

/// How far an exchange may go before it stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExchangeLimits {
    pub(crate) request: RequestLimit,
    pub(crate) response: ResponseLimit,
    pub(crate) client_end: ClientEnd,
}

/// How much of the request passes before the exchange stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestLimit {
    /// All of it; the exchange goes on with the response.
    Unlimited,
    /// A part.
    Part,
    /// All of it; the exchange stops before the response.
    Whole,
}

/// What happens when the client ends its side after its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientEnd {
    /// The service sees the end at once.
    PassedOn,
    /// The exchange stops, and the service does not see the end.
    Reported,
}

/// Where an exchange has stopped, and how much had passed by then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExchangeEnd {
    pub(crate) stop: ExchangeStop,
    pub(crate) request: RequestProgress,
    pub(crate) bytes_up: u64,
    pub(crate) bytes_down: u64,
    pub(crate) response: ResponseProgress,
}

/// Why an exchange stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExchangeStop {
    AtLimit(LimitReached),
    /// The response is complete.
    ResponseDone,
    /// The response is complete, and the connection carries another protocol from now on.
    Switched,
    /// The client has ended its side, and that is to be reported.
    ClientEnded,
    ClientGone,
    ServiceGone,
    /// A message cannot be read, and nobody knows where it ends.
    Unreadable(BytesReason),
}

/// The limit at which an exchange has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LimitReached {
    RequestForwarded,
    RequestCut,
    /// The service takes no more of a request of which only a part was to pass.
    RequestRefused,
    ResponseCut,
}

/// How much of the request was forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestProgress {
    Unfinished,
    /// All of it.
    Whole,
    /// All of it, and then the client's end.
    WholeAndEnded,
    /// The service takes no more of it, but may still answer.
    Refused,
}

impl ExchangeLimits {
    /// Runs to the end.
    pub(crate) const NONE: Self =
        Self { request: RequestLimit::Unlimited, response: ResponseLimit::Whole, client_end: ClientEnd::PassedOn };
}

impl<'a> Exchange<'a> {
    /// The exchange of a request whose head is at the front of `up`.
    pub(crate) fn new(
        (client, service): (&'a mut TcpStream, &'a mut ServiceStream),
        (up, down): (&'a mut MessageCopy, &'a mut MessageCopy),
        head: &RequestHead,
        limits: ExchangeLimits,
        plane: &'a FaultPlane,
    ) -> Self {
        let portion = match limits.request {
            RequestLimit::Part => Portion::Part,
            RequestLimit::Unlimited | RequestLimit::Whole => Portion::Whole,
        };
        up.begin(head.len, head.body, portion);
        let response = ResponseCopy::new(down, head.method, plane.head_limits, limits.response);
        Self { client, service, counters: &plane.counters, limits, up, request: RequestProgress::Unfinished, response }
    }

    /// Runs to a limit, or to the end.
    pub(crate) async fn run(&mut self) -> ExchangeEnd {
        let stop = poll_fn(|cx| self.poll(cx)).await;
        ExchangeEnd {
            stop,
            request: self.request,
            bytes_up: self.up.forwarded(),
            bytes_down: self.response.forwarded(),
            response: self.response.progress,
        }
    }

    /// Lifts the limits at which the exchange has stopped, so that the rest can pass. From now on the end of the client's
    /// side is reported.
    pub(crate) fn lift_limits(&mut self) {
        self.limits = ExchangeLimits { client_end: ClientEnd::Reported, ..ExchangeLimits::NONE };
        self.up.allow_all();
        self.response.allow_all();
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ExchangeStop> {
        match self.poll_request(cx) {
            Poll::Ready(stop) => Poll::Ready(stop),
            Poll::Pending => self.poll_response(cx),
        }
    }

    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<ExchangeStop> {
        loop {
            match self.request {
                RequestProgress::Unfinished => {
                    match ready!(self.up.poll_forward(cx, self.client, self.service, &self.counters.bytes_up)) {
                        MessageCopyEnd::Whole => {
                            self.request = RequestProgress::Whole;
                            if self.limits.request == RequestLimit::Whole {
                                return Poll::Ready(ExchangeStop::AtLimit(LimitReached::RequestForwarded));
                            }
                        }
                        MessageCopyEnd::AtLimit => {
                            return Poll::Ready(ExchangeStop::AtLimit(LimitReached::RequestCut));
                        }
                        MessageCopyEnd::SinkGone => {
                            self.request = RequestProgress::Refused;
                            if self.limits.request == RequestLimit::Part {
                                return Poll::Ready(ExchangeStop::AtLimit(LimitReached::RequestRefused));
                            }
                        }
                        MessageCopyEnd::Broken => {
                            return Poll::Ready(ExchangeStop::Unreadable(BytesReason::ChunksBroken));
                        }
                        MessageCopyEnd::SourceGone if self.response.is_done() => {
                            return Poll::Ready(ExchangeStop::ResponseDone);
                        }
                        MessageCopyEnd::SourceGone => return Poll::Ready(ExchangeStop::ClientGone),
                    }
                }
                RequestProgress::Whole => {
                    if let Some(stop) = ready!(self.poll_client(cx)) {
                        return Poll::Ready(stop);
                    }
                }
                RequestProgress::WholeAndEnded | RequestProgress::Refused => return Poll::Pending,
            }
        }
    }

    /// Watches the client while it waits for the response: it may send its next request, end its side, or go away.
    fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<Option<ExchangeStop>> {
        if self.up.buffer.is_full() {
            return Poll::Pending;
        }
        Poll::Ready(match ready!(self.up.buffer.poll_fill(cx, self.client)) {
            // The client has sent more than this request, and its end comes after that.
            Ok(0) if !self.up.buffer.is_empty() => return Poll::Pending,
            Ok(0) => {
                self.request = RequestProgress::WholeAndEnded;
                match self.limits.client_end {
                    ClientEnd::Reported => Some(ExchangeStop::ClientEnded),
                    ClientEnd::PassedOn => {
                        // Only a write shows whether the client still reads, so its end is passed on and nothing else.
                        let _ = Pin::new(&mut *self.service).poll_shutdown(cx);
                        None
                    }
                }
            }
            Ok(_) => None,
            Err(_) => Some(ExchangeStop::ClientGone),
        })
    }

    fn poll_response(&mut self, cx: &mut Context<'_>) -> Poll<ExchangeStop> {
        match ready!(self.response.poll(cx, self.service, Some(self.client), self.counters)) {
            ResponseEnd::Whole => {}
            ResponseEnd::AtLimit => return Poll::Ready(ExchangeStop::AtLimit(LimitReached::ResponseCut)),
            ResponseEnd::ClientGone => return Poll::Ready(ExchangeStop::ClientGone),
            ResponseEnd::ServiceGone => return Poll::Ready(self.service_gone()),
            ResponseEnd::Unreadable(reason) => return Poll::Ready(ExchangeStop::Unreadable(reason)),
        }
        if self.response.progress.head.is_some_and(|head| head.next_protocol == NextProtocol::Bytes) {
            return Poll::Ready(ExchangeStop::Switched);
        }
        match self.request {
            RequestProgress::Unfinished => self.poll_early_end(cx),
            RequestProgress::Whole | RequestProgress::WholeAndEnded | RequestProgress::Refused => {
                Poll::Ready(ExchangeStop::ResponseDone)
            }
        }
    }

    /// The service answered before it had the whole request: the rest is forwarded until the service ends its side.
    fn poll_early_end(&mut self, cx: &mut Context<'_>) -> Poll<ExchangeStop> {
        let buffer = &mut self.response.copy.buffer;
        loop {
            if buffer.is_full() {
                return Poll::Pending;
            }
            if !matches!(ready!(buffer.poll_fill(cx, self.service)), Ok(1..)) {
                return Poll::Ready(ExchangeStop::ResponseDone);
            }
        }
    }

    const fn service_gone(&self) -> ExchangeStop {
        match self.request {
            RequestProgress::WholeAndEnded => ExchangeStop::ClientGone,
            RequestProgress::Unfinished | RequestProgress::Whole | RequestProgress::Refused => {
                ExchangeStop::ServiceGone
            }
        }
    }
}

impl ExchangeEnd {
    /// What the record says of the exchange so far.
    pub(crate) fn transfer(&self) -> Transfer {
        Transfer {
            bytes_up: self.bytes_up,
            bytes_down: self.bytes_down,
            forwarded_whole: match self.request {
                RequestProgress::Whole | RequestProgress::WholeAndEnded => true,
                RequestProgress::Unfinished | RequestProgress::Refused => false,
            },
            status: self.response.head.map(|head| head.status),
            bytes_reason: match self.stop {
                ExchangeStop::Unreadable(reason) => Some(reason),
                ExchangeStop::AtLimit(_)
                | ExchangeStop::ResponseDone
                | ExchangeStop::Switched
                | ExchangeStop::ClientEnded
                | ExchangeStop::ClientGone
                | ExchangeStop::ServiceGone => None,
            },
            ..Transfer::default()
        }
    }

    /// Whether the response announces that the connection is kept.
    pub(crate) fn persistence(&self) -> Persistence {
        self.response.head.map_or(Persistence::Kept, |head| head.persistence)
    }
}
