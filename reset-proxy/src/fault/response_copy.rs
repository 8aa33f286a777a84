//! The service's answer to one request: interim responses, the final head, the body. It must not know of fates, only
//! how much of the answer may pass.

use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;

use crate::{
    fault::counters::Counters,
    fault::message_copy::{Moved, Passage, Portion},
    http::head::{self, Body, Method, Parsed, Persistence, ResponseHead},
};

/// The answer to one request, on its way.
#[derive(Debug)]
pub(crate) struct Response<'a> {
    pub(crate) passage: &'a mut Passage,
    pub(crate) progress: Progress,
}

/// How far an answer has come, apart from its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    method: Method,
    passing: Passing,
    stage: Stage,
    /// What is known of the final response, once its head has come.
    pub(crate) answer: Option<Answer>,
}

/// How much of the final response reaches the client. Interim responses do in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passing {
    Whole,
    Part,
    Nothing,
}

/// What is known of a final response from its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    /// `None`: it was not HTTP.
    pub(crate) status: Option<u16>,
    pub(crate) persistence: Persistence,
    pub(crate) sequel: Sequel,
}

/// What follows a response on its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sequel {
    Requests,
    /// Another protocol, agreed upon by this exchange.
    Bytes,
}

/// How far an answer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    Whole,
    /// As much of it as may pass has.
    Cut,
    /// The service broke off.
    ServiceGone,
    /// The client takes no more.
    ClientGone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Head,
    Interim,
    Final,
    Done,
}

impl<'a> Response<'a> {
    pub(crate) const fn new(passage: &'a mut Passage, method: Method, passing: Passing) -> Self {
        Self { passage, progress: Progress { method, passing, stage: Stage::Head, answer: None } }
    }

    /// An answer that was left at some point is taken up again.
    pub(crate) const fn resumed(passage: &'a mut Passage, progress: Progress) -> Self {
        Self { passage, progress }
    }

    /// Bytes of the final response that were sent to the client.
    pub(crate) const fn moved(&self) -> u64 {
        match self.progress.stage {
            Stage::Head | Stage::Interim => 0,
            Stage::Final | Stage::Done => self.passage.moved(),
        }
    }

    /// Whether its last byte has come.
    pub(crate) fn is_done(&self) -> bool {
        self.progress.stage == Stage::Done
    }

    /// Brings the answer to its end, or as far as it may pass. Without a client nothing passes.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        service: &mut TcpStream,
        mut client: Option<&mut TcpStream>,
        counters: &Counters,
    ) -> Poll<Answered> {
        loop {
            let moved = match (self.progress.stage, self.progress.passing, client.as_deref_mut()) {
                (Stage::Done, _, _) => return Poll::Ready(Answered::Whole),
                (Stage::Head, _, _) => {
                    if ready!(self.poll_head(cx, service, counters)).is_err() {
                        return Poll::Ready(Answered::ServiceGone);
                    }
                    continue;
                }
                (Stage::Final, Passing::Nothing, _) | (_, _, None) => ready!(self.passage.poll_discard(cx, service)),
                (Stage::Interim | Stage::Final, _, Some(client)) => {
                    ready!(self.passage.poll_move(cx, service, client, &counters.bytes_down))
                }
            };
            match moved {
                Moved::Whole if self.progress.stage == Stage::Interim => self.progress.stage = Stage::Head,
                Moved::Whole => self.progress.stage = Stage::Done,
                Moved::Cut => return Poll::Ready(Answered::Cut),
                Moved::SourceGone => return Poll::Ready(Answered::ServiceGone),
                Moved::SinkGone => return Poll::Ready(Answered::ClientGone),
            }
        }
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        service: &mut TcpStream,
        counters: &Counters,
    ) -> Poll<Result<(), ServiceGone>> {
        loop {
            match head::response(self.passage.buffer.filled(), self.progress.method) {
                Parsed::Partial if !self.passage.buffer.is_full() => {}
                Parsed::Partial | Parsed::Foreign => {
                    self.accept_foreign();
                    return Poll::Ready(Ok(()));
                }
                Parsed::Whole(head) => {
                    self.accept(&head, counters);
                    return Poll::Ready(Ok(()));
                }
            }
            match ready!(self.passage.buffer.poll_fill(cx, service)) {
                Ok(0) | Err(_) => return Poll::Ready(Err(ServiceGone)),
                Ok(_) => {}
            }
        }
    }

    fn accept(&mut self, head: &ResponseHead, counters: &Counters) {
        counters.count_response(head.status);
        if head.is_interim() {
            self.passage.begin(head.len, head.body, Portion::Whole);
            self.progress.stage = Stage::Interim;
            return;
        }
        let sequel = if head.switches(self.progress.method) { Sequel::Bytes } else { Sequel::Requests };
        self.progress.answer = Some(Answer { status: Some(head.status), persistence: head.persistence, sequel });
        self.begin_final(head.len, head.body);
    }

    /// A service that does not speak HTTP has an answer all the same: all that it says.
    fn accept_foreign(&mut self) {
        self.progress.answer =
            Some(Answer { status: None, persistence: Persistence::Closing, sequel: Sequel::Requests });
        self.begin_final(0, Body::UntilEnd);
    }

    fn begin_final(&mut self, head_len: usize, body: Body) {
        let portion = match self.progress.passing {
            Passing::Part => Portion::Part,
            Passing::Whole | Passing::Nothing => Portion::Whole,
        };
        self.passage.begin(head_len, body, portion);
        self.progress.stage = Stage::Final;
    }
}

/// The service ended its side before the head was whole.
struct ServiceGone;
