//! What becomes of the two sockets, and of the line in the record, once an exchange has stopped.

use std::{future::poll_fn, time::Duration};

use paylab_experiment::{
    record::{End, Protocol},
    spec::Point,
};
use tokio::{net::TcpStream, time::timeout};

use crate::{
    fault::counters::count,
    fault::exchange::{Halt, Upward},
    fault::record::{Course, Line},
    fault::relay::Relay,
    fault::response_copy::Response,
    http::head::Persistence,
    transport::endings::{await_end, close, reset, settle},
    transport::tunnel::{Ended, Through, tunnel},
};

/// After the client was reset, the service has so long to answer.
const LATE_ANSWER: Duration = Duration::from_secs(60);

impl Halt {
    /// What the record says of it, before anything was reset.
    fn course(&self) -> Course {
        Course {
            bytes_up: self.bytes_up,
            bytes_down: self.bytes_down,
            forwarded_whole: match self.upward {
                Upward::Whole | Upward::Ended => true,
                Upward::Moving | Upward::Refused => false,
            },
            status: self.progress.answer.and_then(|answer| answer.status),
            ..Course::default()
        }
    }

    fn persistence(&self) -> Persistence {
        self.progress.answer.map_or(Persistence::Kept, |answer| answer.persistence)
    }
}

impl Relay {
    /// The response was relayed whole: the connection goes on, if both sides still can.
    pub(super) async fn keep(mut self, service: TcpStream, halt: &Halt, line: Option<Line>) -> Option<Self> {
        complete(line, halt.course(), End::Relayed);
        match halt.upward {
            Upward::Whole => {
                if self.up.buffer.is_empty() {
                    self.flight = None;
                }
                self.persistence = halt.persistence();
                self.service = Some(service);
                Some(self)
            }
            Upward::Ended => {
                drop(self);
                await_end(service).await;
                None
            }
            Upward::Moving | Upward::Refused => {
                drop((service, self.flight));
                close(self.client).await;
                None
            }
        }
    }

    /// The connection carries no request: it ends as its sides do.
    pub(super) async fn close_idle(self) {
        let said_so = self.service.is_some() && self.persistence == Persistence::Closing;
        drop((self.service, self.flight));
        // A client that was told to expect the end sends nothing more, so there is nothing to be drained.
        if !said_so || !self.up.buffer.is_empty() {
            close(self.client).await;
        }
    }

    /// The client went away first. What it had asked for in whole is the service's to finish or to drop.
    pub(super) fn abandon(self, service: TcpStream, halt: &Halt, line: Option<Line>) {
        let course = halt.course();
        if course.forwarded_whole {
            drop(service);
        } else {
            reset(service);
        }
        complete(line, course, End::ClientGone);
    }

    /// The service broke off: the client is reset, though no fault said so.
    pub(super) fn reset_unanswered(self, halt: &Halt, line: Option<Line>) {
        self.count_unintended_reset(line.as_ref());
        reset(self.client);
        complete(line, halt.course(), End::ServiceGone);
    }

    /// The service cannot be reached: the client is reset, though no fault said so.
    pub(super) fn reset_unreachable(self, line: Option<Line>) {
        count(&self.plane.counters.upstream_unreachable);
        self.count_unintended_reset(line.as_ref());
        reset(self.client);
        complete(line, Course::default(), End::Unreachable);
    }

    /// The fate strikes before anything of the request was passed on.
    pub(super) fn reset_unheard(self, line: Option<Line>) {
        self.count_reset(line.as_ref());
        let course = Course { rst_client_ok: Some(reset(self.client)), ..Course::default() };
        complete(line, course, End::Faulted);
    }

    /// The fate strikes: each point has its way. The client always sees it first.
    pub(super) async fn strike(mut self, point: Point, service: TcpStream, halt: &Halt, line: Option<Line>) {
        self.count_reset(line.as_ref());
        let mut course = halt.course();
        let client = match point {
            Point::AfterResponse => settle(self.client, course.bytes_down).await,
            Point::Connect
            | Point::BeforeRequest
            | Point::MidRequest
            | Point::AfterRequest
            | Point::BeforeResponse
            | Point::MidResponse => Ok(self.client),
        };
        course.rst_client_ok = Some(client.is_ok_and(reset));
        match point {
            Point::MidRequest => {
                course.rst_service_ok = Some(reset(service));
                complete(line, course, End::Faulted);
            }
            Point::AfterRequest => {
                let mut service = service;
                let mut response = Response::resumed(&mut self.down, halt.progress);
                let counters = &self.plane.counters;
                let answered = poll_fn(|cx| response.poll(cx, &mut service, None, counters));
                let _ = timeout(LATE_ANSWER, answered).await;
                course.status = response.progress.answer.and_then(|answer| answer.status);
                complete(line, course, End::Faulted);
            }
            Point::Connect
            | Point::BeforeRequest
            | Point::BeforeResponse
            | Point::MidResponse
            | Point::AfterResponse => {
                complete(line, course, End::Faulted);
                drop(self.flight);
                if halt.persistence() == Persistence::Closing {
                    await_end(service).await;
                }
            }
        }
    }

    /// The exchange has agreed upon another protocol: the rest of the connection belongs to its line.
    pub(super) async fn switch(mut self, mut service: TcpStream, halt: &Halt, line: Option<Line>) {
        let through = self.tunnel(&mut service).await;
        let mut course = halt.course();
        course.bytes_up += through.bytes_up;
        course.bytes_down += through.bytes_down;
        self.end_tunnel(service, through, course, line);
    }

    /// What is not HTTP/1 passes as bytes, and the record says so.
    pub(super) async fn relay_bytes(mut self) {
        let line = self.seating.admit(&self.plane.rules, None, Protocol::Bytes);
        if line.as_ref().and_then(Line::point).is_some() {
            return self.reset_unheard(line);
        }
        let Some(mut service) = self.dialled().await else {
            return self.reset_unreachable(line);
        };
        let through = self.tunnel(&mut service).await;
        let course = Course {
            bytes_up: through.bytes_up,
            bytes_down: through.bytes_down,
            forwarded_whole: through.up_whole,
            ..Course::default()
        };
        self.end_tunnel(service, through, course, line);
    }

    async fn tunnel(&mut self, service: &mut TcpStream) -> Through {
        let buffers = (&mut self.up.buffer, &mut self.down.buffer);
        tunnel(&mut self.client, service, buffers, &self.plane.counters).await
    }

    fn end_tunnel(self, service: TcpStream, through: Through, course: Course, line: Option<Line>) {
        match through.ended {
            Ended::Both => complete(line, course, End::Relayed),
            Ended::ClientGone => {
                reset(service);
                complete(line, course, End::ClientGone);
            }
            Ended::ServiceGone => {
                self.count_unintended_reset(line.as_ref());
                reset(self.client);
                complete(line, course, End::ServiceGone);
            }
        }
    }

    fn count_reset(&self, line: Option<&Line>) {
        if let Some(die) = line.and_then(Line::fault) {
            self.plane.counters.count_reset(&die.name, die.point);
        }
    }

    fn count_unintended_reset(&self, line: Option<&Line>) {
        count(&self.plane.counters.unintended_resets);
        if let Some(line) = line {
            line.count_unintended_reset();
        }
    }
}

fn complete(line: Option<Line>, course: Course, end: End) {
    if let Some(line) = line {
        line.complete(course, end);
    }
}
