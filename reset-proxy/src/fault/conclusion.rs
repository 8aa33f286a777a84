//! How a request without a fault of its own ends: what becomes of the two sockets, and of its entry in the record.

use paylab_core::witness::record::{BytesReason, End};

use crate::{
    fault::{
        connection::ClientConnection,
        exchange::{ExchangeEnd, RequestProgress},
        record::{OpenEntry, Transfer},
    },
    http::response::Persistence,
    transport::{
        endings::{await_end, close, reset},
        service_stream::ServiceStream,
        tunnel::{TunnelEnd, TunnelResult, tunnel},
    },
};

impl ClientConnection {
    /// The response was relayed as a whole: the connection goes on, if both sides still can.
    pub(super) async fn keep(
        mut self: Box<Self>,
        service: ServiceStream,
        end: &ExchangeEnd,
        entry: Option<OpenEntry>,
    ) -> Option<Box<Self>> {
        OpenEntry::complete_some(entry, end.transfer(), End::Relayed);
        match end.request {
            RequestProgress::Whole => {
                if self.up.buffer.is_blank() {
                    self.in_flight = None;
                }
                self.persistence = end.persistence();
                self.service = Some(service);
                Some(self)
            }
            RequestProgress::WholeAndEnded => {
                drop(self);
                Box::pin(await_end(service.into_socket())).await;
                None
            }
            RequestProgress::Unfinished | RequestProgress::Refused => {
                drop((service, self.in_flight));
                Box::pin(close(self.client)).await;
                None
            }
        }
    }

    /// The connection carries no request, and one of its sides has ended it.
    pub(super) async fn close_idle(self) {
        OpenEntry::complete_some(self.admitted, Transfer::default(), End::ClientGone);
        let was_announced = self.service.is_some() && self.persistence == Persistence::Closing;
        drop((self.service, self.in_flight));
        // A client that was told to expect the end sends nothing more, so there is nothing to be read before the close.
        if !was_announced || !self.up.buffer.is_empty() {
            close(self.client).await;
        }
    }

    /// The client went away first. The service may finish or drop a request that it has as a whole.
    pub(super) fn abandon(self, service: ServiceStream, end: &ExchangeEnd, entry: Option<OpenEntry>) {
        let transfer = end.transfer();
        if transfer.forwarded_whole {
            drop(service);
        } else {
            reset(service.into_socket());
        }
        OpenEntry::complete_some(entry, transfer, End::ClientGone);
    }

    /// The service broke off: the client is reset although no fault ordered it.
    pub(super) fn reset_unanswered(self, end: &ExchangeEnd, entry: Option<OpenEntry>) {
        let ended = self.end_of_service(entry.as_ref());
        reset(self.client);
        OpenEntry::complete_some(entry, end.transfer(), ended);
    }

    /// The service cannot be reached: the client is reset although no fault ordered it.
    pub(super) fn reset_unreachable(self, entry: Option<OpenEntry>) {
        self.plane.counters.upstream_unreachable.increment();
        self.count_unintended_reset(entry.as_ref());
        reset(self.client);
        OpenEntry::complete_some(entry, Transfer::default(), End::Unreachable);
    }

    /// The exchange has switched to another protocol, or one of its messages cannot be read: the rest of the connection belongs to its
    /// entry.
    pub(super) async fn switch(mut self, mut service: ServiceStream, end: &ExchangeEnd, entry: Option<OpenEntry>) {
        let tunnelled = self.tunnel(&mut service).await;
        let mut transfer = end.transfer();
        transfer.bytes_up += tunnelled.bytes_up;
        transfer.bytes_down += tunnelled.bytes_down;
        transfer.forwarded_whole |= tunnelled.up_whole;
        self.end_tunnel(service, tunnelled, transfer, entry);
    }

    /// Copies bytes that are not HTTP/1 until one of the sides ends the connection.
    pub(super) async fn tunnel_bytes(
        mut self,
        mut service: ServiceStream,
        entry: Option<OpenEntry>,
        bytes_reason: Option<BytesReason>,
    ) {
        let tunnelled = self.tunnel(&mut service).await;
        let transfer = Transfer {
            bytes_up: tunnelled.bytes_up,
            bytes_down: tunnelled.bytes_down,
            forwarded_whole: tunnelled.up_whole,
            bytes_reason,
            ..Transfer::default()
        };
        self.end_tunnel(service, tunnelled, transfer, entry);
    }

    async fn tunnel(&mut self, service: &mut ServiceStream) -> TunnelResult {
        let splices = (self.up.take_splice(), self.down.take_splice());
        let buffers = (&mut self.up.buffer, &mut self.down.buffer);
        let counters = (&self.plane.counters.bytes_up, &self.plane.counters.bytes_down);
        tunnel(&mut self.client, service, buffers, splices, counters).await
    }

    fn end_tunnel(self, service: ServiceStream, result: TunnelResult, transfer: Transfer, entry: Option<OpenEntry>) {
        match result.ended {
            TunnelEnd::Both => OpenEntry::complete_some(entry, transfer, End::Relayed),
            TunnelEnd::ClientGone => {
                reset(service.into_socket());
                OpenEntry::complete_some(entry, transfer, End::ClientGone);
            }
            TunnelEnd::ServiceGone => {
                let ended = self.end_of_service(entry.as_ref());
                reset(self.client);
                OpenEntry::complete_some(entry, transfer, ended);
            }
        }
    }

    /// How a request ends whose service is gone: at the order of a fault of another attempt, or by itself.
    fn end_of_service(&self, entry: Option<&OpenEntry>) -> End {
        if self.is_killed() {
            return End::Collateral;
        }
        self.count_unintended_reset(entry);
        End::ServiceGone
    }

    fn count_unintended_reset(&self, entry: Option<&OpenEntry>) {
        self.plane.counters.unintended_resets.increment();
        if let Some(entry) = entry {
            entry.count_unintended_reset();
        }
    }
}
