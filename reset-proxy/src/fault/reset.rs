//! Carries out a reset: how far the request and its response go before it, and how each point ends the two sockets.

use paylab_core::{fault::point::Point, witness::record::End};

use crate::{
    fault::{
        connection::ClientConnection,
        exchange::{ClientEnd, ExchangeEnd, ExchangeLimits, ExchangeStop, RequestLimit},
        record::{OpenEntry, Transfer},
        response_copy::{ResponseCopy, ResponseLimit},
    },
    http::response::Persistence,
    transport::{
        endings::{await_end, await_sent, reset},
        service_stream::ServiceStream,
    },
};

/// How far an exchange goes before a reset at this point.
pub(super) const fn limits(point: Point) -> ExchangeLimits {
    let (request, response) = match point {
        Point::MidRequest => (RequestLimit::Part, ResponseLimit::Discarded),
        Point::AfterRequest => (RequestLimit::Whole, ResponseLimit::Discarded),
        Point::BeforeResponse => (RequestLimit::Unlimited, ResponseLimit::Discarded),
        Point::MidResponse => (RequestLimit::Unlimited, ResponseLimit::Part),
        Point::Connect | Point::BeforeRequest | Point::AfterResponse => (RequestLimit::Unlimited, ResponseLimit::Whole),
    };
    ExchangeLimits { request, response, client_end: ClientEnd::PassedOn }
}

/// Whether an exchange that stopped so is to be reset now.
pub(super) fn is_due(point: Point, stop: ExchangeStop) -> bool {
    match stop {
        // Where nobody knows the end of a message, the reset comes at once.
        ExchangeStop::AtLimit(_)
        | ExchangeStop::ResponseDone
        | ExchangeStop::Switched
        | ExchangeStop::Unreadable(_) => true,
        // The service refuses a request that it was not to get as a whole.
        ExchangeStop::ServiceGone => point == Point::MidRequest,
        ExchangeStop::ClientGone | ExchangeStop::ClientEnded => false,
    }
}

impl ClientConnection {
    /// Resets the client before anything of its request was forwarded.
    pub(super) fn reset_unforwarded(self, entry: Option<OpenEntry>) {
        self.count_reset(entry.as_ref());
        let transfer = Transfer { rst_client_ok: Some(reset(self.client)), ..Transfer::default() };
        OpenEntry::complete_some(entry, transfer, End::Faulted);
    }

    /// Resets the client at this point, and then ends the service's side as the point demands.
    pub(super) async fn reset_at(
        mut self,
        point: Point,
        mut service: ServiceStream,
        end: &ExchangeEnd,
        entry: Option<OpenEntry>,
    ) {
        self.count_reset(entry.as_ref());
        let mut transfer = end.transfer();
        let client = match point {
            Point::AfterResponse => await_sent(self.client, transfer.bytes_down).await,
            Point::Connect
            | Point::BeforeRequest
            | Point::MidRequest
            | Point::AfterRequest
            | Point::BeforeResponse
            | Point::MidResponse => Ok(self.client),
        };
        transfer.rst_client_ok = Some(client.is_ok_and(reset));
        match point {
            Point::MidRequest => {
                transfer.rst_service_ok = Some(reset(service.into_socket()));
                OpenEntry::complete_some(entry, transfer, End::Faulted);
            }
            Point::AfterRequest => {
                let (down, counters) = (&mut self.down, &self.plane.counters);
                let (_, response) = ResponseCopy::finish_late(down, end.response, &mut service, None, counters).await;
                transfer.status = response.progress.head.map(|head| head.status);
                OpenEntry::complete_some(entry, transfer, End::Faulted);
            }
            Point::Connect
            | Point::BeforeRequest
            | Point::BeforeResponse
            | Point::MidResponse
            | Point::AfterResponse => {
                OpenEntry::complete_some(entry, transfer, End::Faulted);
                drop(self.in_flight);
                if end.persistence() == Persistence::Closing {
                    await_end(service.into_socket()).await;
                }
            }
        }
    }

    pub(super) fn count_reset(&self, entry: Option<&OpenEntry>) {
        if let Some(fault) = entry.and_then(OpenEntry::fault) {
            self.plane.counters.count_reset(&fault.name, fault.effect.at());
        }
    }
}
