//! One request and its response on two sockets, both directions at once, up to the point of the fate or to the end.
//! It stops there; what becomes of the sockets is decided elsewhere.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use paylab_experiment::spec::Point;
use tokio::{io::AsyncWrite, net::TcpStream};

use crate::{
    fault::counters::Counters,
    fault::message_copy::{Moved, Passage, Portion},
    fault::response_copy::{Answered, Passing, Progress, Response, Sequel},
    http::head::RequestHead,
};

/// One exchange under way.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    client: &'a mut TcpStream,
    service: &'a mut TcpStream,
    counters: &'a Counters,
    point: Option<Point>,
    up: &'a mut Passage,
    upward: Upward,
    response: Response<'a>,
}

/// Where an exchange has stopped, and what had passed by then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Halt {
    pub(crate) why: Why,
    pub(crate) upward: Upward,
    pub(crate) bytes_up: u64,
    pub(crate) bytes_down: u64,
    pub(crate) progress: Progress,
}

/// Why an exchange stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// The point of the fate is reached.
    Struck(Point),
    /// The answer is complete, and no fate is in its way.
    Answered,
    /// The answer is complete and the connection speaks another protocol from now on.
    Switched,
    ClientGone,
    ServiceGone,
}

/// How far the request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upward {
    Moving,
    /// The service was sent all of it.
    Whole,
    /// All of it, and then the client's own end.
    Ended,
    /// The service takes no more of it, but may still answer.
    Refused,
}

impl<'a> Exchange<'a> {
    /// The exchange of a request whose head is at the front of `up`.
    pub(crate) fn new(
        (client, service): (&'a mut TcpStream, &'a mut TcpStream),
        (up, down): (&'a mut Passage, &'a mut Passage),
        head: &RequestHead,
        point: Option<Point>,
        counters: &'a Counters,
    ) -> Self {
        let (portion, passing) = match point {
            Some(Point::MidRequest) => (Portion::Part, Passing::Nothing),
            Some(Point::AfterRequest | Point::BeforeResponse) => (Portion::Whole, Passing::Nothing),
            Some(Point::MidResponse) => (Portion::Whole, Passing::Part),
            Some(Point::Connect | Point::BeforeRequest | Point::AfterResponse) | None => {
                (Portion::Whole, Passing::Whole)
            }
        };
        up.begin(head.len, head.body, portion);
        let response = Response::new(down, head.method, passing);
        Self { client, service, counters, point, up, upward: Upward::Moving, response }
    }

    /// Runs to the point of the fate, or to the end.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Halt> {
        let why = match self.poll_request(cx) {
            Poll::Ready(why) => why,
            Poll::Pending => ready!(self.poll_response(cx)),
        };
        Poll::Ready(Halt {
            why,
            upward: self.upward,
            bytes_up: self.up.moved(),
            bytes_down: self.response.moved(),
            progress: self.response.progress,
        })
    }

    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Why> {
        loop {
            match self.upward {
                Upward::Moving => {
                    match ready!(self.up.poll_move(cx, self.client, self.service, &self.counters.bytes_up)) {
                        Moved::Whole if self.point == Some(Point::AfterRequest) => {
                            self.upward = Upward::Whole;
                            return Poll::Ready(Why::Struck(Point::AfterRequest));
                        }
                        Moved::Whole => self.upward = Upward::Whole,
                        Moved::Cut => return Poll::Ready(Why::Struck(Point::MidRequest)),
                        Moved::SinkGone if self.point == Some(Point::MidRequest) => {
                            return Poll::Ready(Why::Struck(Point::MidRequest));
                        }
                        Moved::SinkGone => self.upward = Upward::Refused,
                        Moved::SourceGone if self.response.is_done() => return Poll::Ready(self.answered()),
                        Moved::SourceGone => return Poll::Ready(Why::ClientGone),
                    }
                }
                Upward::Whole => {
                    if let Some(why) = ready!(self.poll_client(cx)) {
                        return Poll::Ready(why);
                    }
                }
                Upward::Ended | Upward::Refused => return Poll::Pending,
            }
        }
    }

    /// Watches the client while its answer is awaited: it may send its next request, end its side, or be gone.
    fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<Option<Why>> {
        if self.up.buffer.is_full() {
            return Poll::Pending;
        }
        Poll::Ready(match ready!(self.up.buffer.poll_fill(cx, self.client)) {
            Ok(0) => {
                // Whether the client can still read shows only when it is written to, so its end is passed on as it is.
                let _ = Pin::new(&mut *self.service).poll_shutdown(cx);
                self.upward = Upward::Ended;
                None
            }
            Ok(_) => None,
            Err(_) => Some(Why::ClientGone),
        })
    }

    fn poll_response(&mut self, cx: &mut Context<'_>) -> Poll<Why> {
        match ready!(self.response.poll(cx, self.service, Some(self.client), self.counters)) {
            Answered::Whole => {}
            Answered::Cut => return Poll::Ready(Why::Struck(Point::MidResponse)),
            Answered::ClientGone => return Poll::Ready(Why::ClientGone),
            Answered::ServiceGone => return Poll::Ready(self.service_gone()),
        }
        let switched = self.response.progress.answer.is_some_and(|answer| answer.sequel == Sequel::Bytes);
        match (self.upward, self.point) {
            (_, None) if switched => Poll::Ready(Why::Switched),
            (Upward::Moving, _) => self.poll_early_end(cx),
            (Upward::Whole | Upward::Ended | Upward::Refused, _) => Poll::Ready(self.answered()),
        }
    }

    /// The service answered before it had the whole request: the rest goes on until the service ends its side.
    fn poll_early_end(&mut self, cx: &mut Context<'_>) -> Poll<Why> {
        let buffer = &mut self.response.passage.buffer;
        loop {
            if buffer.is_full() {
                return Poll::Pending;
            }
            if !matches!(ready!(buffer.poll_fill(cx, self.service)), Ok(1..)) {
                return Poll::Ready(self.answered());
            }
        }
    }

    fn answered(&self) -> Why {
        self.point.map_or(Why::Answered, Why::Struck)
    }

    const fn service_gone(&self) -> Why {
        match (self.point, self.upward) {
            (Some(Point::MidRequest), _) => Why::Struck(Point::MidRequest),
            (_, Upward::Ended) => Why::ClientGone,
            (_, Upward::Moving | Upward::Whole | Upward::Refused) => Why::ServiceGone,
        }
    }
}
