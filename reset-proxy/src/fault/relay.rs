//! One client's connection: obeys the fate of each of its requests on two sockets. The ordinary exchange costs one read
//! and one write in each direction. It must not know how fates are drawn.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, ready},
};

use paylab_experiment::{record::Protocol, spec::Point};
use tokio::net::TcpStream;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::debug;

use crate::{
    fault::counters::count,
    fault::exchange::{Exchange, Why},
    fault::identity::Seating,
    fault::message_copy::Passage,
    fault::peek::glimpse,
    fault::plane::FaultPlane,
    fault::record::Line,
    fault::rules::Standing,
    http::head::{self, Parsed, Persistence, RequestHead},
};

/// One client's connection, between two requests.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(super) plane: Arc<FaultPlane>,
    pub(super) client: TcpStream,
    /// Dialled when the first request's fate lets it through.
    pub(super) service: Option<TcpStream>,
    pub(super) up: Passage,
    pub(super) down: Passage,
    /// Held from the first byte of a request, or the accepting of the connection, to the end of the answer.
    pub(super) flight: Option<TaskTrackerToken>,
    pub(super) seating: Seating,
    /// What the last answer said of the connection.
    pub(super) persistence: Persistence,
}

/// What a client has begun.
#[derive(Debug)]
enum Arrival {
    Request(RequestHead),
    /// Something that is not HTTP/1.
    Bytes,
}

/// What happens on a connection between two requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Bytes,
    ClientEnded,
    ClientGone,
    ServiceEnded,
    /// The service sends what no request has asked for.
    ServiceSpoke,
}

impl Relay {
    /// The relay of a connection that was just accepted.
    pub(crate) fn new(plane: Arc<FaultPlane>, client: TcpStream) -> Self {
        let flight = Some(plane.flights.begin());
        let seating = Seating::accepted(&plane.rules);
        let (up, down) = (Passage::new(), Passage::new());
        Self { plane, client, service: None, up, down, flight, seating, persistence: Persistence::Kept }
    }

    /// Relays until one of the three ends it: client, service or fate.
    pub(crate) async fn run(mut self) {
        if let Some(line) = self.struck_on_connect().await {
            return self.reset_unheard(Some(line));
        }
        while let Some(arrival) = self.arrival().await {
            let kept = match arrival {
                Arrival::Request(head) => self.relay(&head).await,
                Arrival::Bytes => return self.relay_bytes().await,
            };
            match kept {
                Some(relay) => self = relay,
                None => return,
            }
        }
        self.close_idle().await;
    }

    /// The line of a connection that is to be reset before a byte of it is taken.
    async fn struck_on_connect(&mut self) -> Option<Line> {
        let Standing::InForce(rules) = self.plane.rules.standing() else { return None };
        if !rules.may_reset_on_connect() {
            return None;
        }
        let glimpse = glimpse(&self.client).await?;
        self.seating.admit_struck_on_connect(&rules, glimpse.attempt, glimpse.protocol)
    }

    /// Waits for the next request; `None` when there will be none.
    async fn arrival(&mut self) -> Option<Arrival> {
        loop {
            if !self.up.buffer.is_empty() {
                match head::request(self.up.buffer.filled()) {
                    Parsed::Whole(head) => return Some(Arrival::Request(head)),
                    Parsed::Foreign => return Some(Arrival::Bytes),
                    Parsed::Partial if self.up.buffer.is_full() => return Some(Arrival::Bytes),
                    Parsed::Partial => {}
                }
            }
            match poll_fn(|cx| self.poll_event(cx)).await {
                Event::Bytes if self.flight.is_none() => self.flight = Some(self.plane.flights.begin()),
                Event::Bytes => {}
                // Half a head and then the end: no request, but what was said is passed on.
                Event::ClientEnded if !self.up.buffer.is_empty() => return Some(Arrival::Bytes),
                Event::ClientEnded | Event::ClientGone | Event::ServiceEnded => return None,
                Event::ServiceSpoke => return Some(Arrival::Bytes),
            }
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if !self.down.buffer.is_empty() {
            return Poll::Ready(Event::ServiceSpoke);
        }
        if let Some(service) = &mut self.service {
            match self.down.buffer.poll_fill(cx, service) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Event::ServiceEnded),
                Poll::Ready(Ok(_)) => return Poll::Ready(Event::ServiceSpoke),
                Poll::Pending => {}
            }
        }
        Poll::Ready(match ready!(self.up.buffer.poll_fill(cx, &mut self.client)) {
            Ok(0) => Event::ClientEnded,
            Ok(_) => Event::Bytes,
            Err(_) => Event::ClientGone,
        })
    }

    /// Relays one request as its fate says; `None` when the connection has ended with it.
    async fn relay(mut self, head: &RequestHead) -> Option<Self> {
        let line = self.seating.admit(&self.plane.rules, head.attempt, Protocol::Http1);
        self.count_request(head);
        let point = line.as_ref().and_then(Line::point);
        if matches!(point, Some(Point::Connect | Point::BeforeRequest)) {
            self.reset_unheard(line);
            return None;
        }
        let Some(mut service) = self.dialled().await else {
            self.reset_unreachable(line);
            return None;
        };
        let (sockets, passages) = ((&mut self.client, &mut service), (&mut self.up, &mut self.down));
        let mut exchange = Exchange::new(sockets, passages, head, point, &self.plane.counters);
        let halt = poll_fn(|cx| exchange.poll(cx)).await;
        match halt.why {
            Why::Answered => return self.keep(service, &halt, line).await,
            Why::Switched => self.switch(service, &halt, line).await,
            Why::ClientGone => self.abandon(service, &halt, line),
            Why::ServiceGone => self.reset_unanswered(&halt, line),
            Why::Struck(point) => self.strike(point, service, &halt, line).await,
        }
        None
    }

    /// The connection to the service; `None` when there is none to be had.
    pub(super) async fn dialled(&mut self) -> Option<TcpStream> {
        match self.service.take() {
            Some(service) => Some(service),
            None => self.plane.upstream.dial().await.inspect_err(|error| debug!(%error, "no way to the service")).ok(),
        }
    }

    fn count_request(&self, head: &RequestHead) {
        count(&self.plane.counters.requests);
        if head.attempt.is_some() {
            count(&self.plane.counters.attempts);
        }
    }
}
