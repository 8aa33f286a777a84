//! Carries out a hold: a request, or its response, waits at a point for a time and passes afterwards. No byte is lost:
//! a request that has arrived as a whole reaches the service even if its client has given up meanwhile.

use std::time::Duration;

use paylab_core::{fault::point::Point, witness::record::End};
use tokio::time::{Instant, sleep};

use crate::{
    fault::{
        connection::ClientConnection,
        exchange::{ClientEnd, Exchange, ExchangeEnd, ExchangeLimits, ExchangeStop, LimitReached, RequestLimit},
        record::OpenEntry,
        response_copy::{ResponseCopy, ResponseEnd, ResponseLimit},
    },
    transport::{
        endings::{await_end, is_closed},
        service_stream::ServiceStream,
    },
};

/// How far an exchange goes before a hold at this point.
pub(super) const fn limits(at: Point) -> ExchangeLimits {
    let (request, response, client_end) = match at {
        // The hold comes before the exchange.
        Point::Connect | Point::BeforeRequest => (RequestLimit::Unlimited, ResponseLimit::Whole, ClientEnd::Reported),
        Point::MidRequest => (RequestLimit::Part, ResponseLimit::Whole, ClientEnd::PassedOn),
        Point::AfterRequest => (RequestLimit::Whole, ResponseLimit::Whole, ClientEnd::PassedOn),
        Point::BeforeResponse => (RequestLimit::Unlimited, ResponseLimit::Collected, ClientEnd::PassedOn),
        Point::MidResponse => (RequestLimit::Unlimited, ResponseLimit::Part, ClientEnd::PassedOn),
        Point::AfterResponse => (RequestLimit::Unlimited, ResponseLimit::Whole, ClientEnd::PassedOn),
    };
    ExchangeLimits { request, response, client_end }
}

/// Waits, and notes in the entry how long that took.
pub(super) async fn wait(entry: &mut OpenEntry, lasts: Duration) {
    let began = Instant::now();
    sleep(lasts).await;
    entry.held_us = Some(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
}

/// Holds a request of which nothing was forwarded, if this is its point and it was not held yet.
pub(super) async fn before_forwarding(entry: Option<&mut OpenEntry>, at: Point, lasts: Duration) {
    if let (Some(entry), Point::Connect | Point::BeforeRequest) = (entry, at)
        && entry.held_us.is_none()
    {
        wait(entry, lasts).await;
    }
}

/// Runs an exchange to its end, with the hold in between if its point is reached.
pub(super) async fn run(
    exchange: &mut Exchange<'_>,
    entry: Option<&mut OpenEntry>,
    at: Point,
    lasts: Duration,
) -> ExchangeEnd {
    let mut end = exchange.run().await;
    if let Some(entry) = entry
        && is_due(at, end.stop)
    {
        wait(entry, lasts).await;
    }
    if let ExchangeStop::AtLimit(_) = end.stop {
        exchange.lift_limits();
        end = exchange.run().await;
    }
    end
}

/// Whether an exchange that stopped so has reached the point of its hold.
fn is_due(at: Point, stop: ExchangeStop) -> bool {
    match stop {
        ExchangeStop::AtLimit(limit) => match limit {
            LimitReached::RequestForwarded | LimitReached::RequestCut | LimitReached::ResponseCut => true,
            LimitReached::RequestRefused => false,
        },
        ExchangeStop::ResponseDone | ExchangeStop::Switched => at == Point::AfterResponse,
        ExchangeStop::ClientEnded
        | ExchangeStop::ClientGone
        | ExchangeStop::ServiceGone
        | ExchangeStop::Unreadable(_) => false,
    }
}

/// Whether the client has left during a hold while the service has the whole request and has yet to answer it.
pub(super) fn outlasts_client(entry: Option<&OpenEntry>, end: &ExchangeEnd) -> bool {
    let client_left = match end.stop {
        ExchangeStop::ClientEnded | ExchangeStop::ClientGone => true,
        ExchangeStop::AtLimit(_)
        | ExchangeStop::ResponseDone
        | ExchangeStop::Switched
        | ExchangeStop::ServiceGone
        | ExchangeStop::Unreadable(_) => false,
    };
    client_left && end.transfer().forwarded_whole && entry.is_some_and(|entry| entry.held_us.is_some())
}

impl ClientConnection {
    /// Waits for the response to a request whose client has left after a hold. A client that has only ended its own side
    /// still gets the response.
    pub(super) async fn finish_without_client(
        mut self,
        mut service: ServiceStream,
        end: &ExchangeEnd,
        entry: Option<OpenEntry>,
    ) {
        let has_ended = end.stop == ExchangeStop::ClientEnded;
        let client = has_ended.then_some(&mut self.client);
        let counters = &self.plane.counters;
        let (answered, response) =
            ResponseCopy::finish_late(&mut self.down, end.response, &mut service, client, counters).await;
        let mut transfer = end.transfer();
        transfer.bytes_down = response.forwarded();
        transfer.status = response.progress.head.map(|head| head.status);
        let is_relayed = if has_ended && answered == Some(ResponseEnd::Whole) {
            !is_closed(self.client).await
        } else {
            drop(self.client);
            false
        };
        OpenEntry::complete_some(entry, transfer, if is_relayed { End::Relayed } else { End::ClientGone });
        drop(self.in_flight);
        await_end(service.into_socket()).await;
    }
}

#[cfg(test)]
mod tests;
