//! Serves one client's connection: decides the fate of each request, lets the effect carry it out, and ends the
//! connection. An ordinary exchange costs one read and one write in each direction.
//!
//! Every open connection is a task that has room for the largest of its states. So what only some requests need, such as a hold, is
//! boxed: it takes its memory when it begins.

use std::sync::Arc;

use paylab_core::{
    fault::point::Point,
    witness::record::{BytesReason, Protocol},
};

use crate::{
    fault::{
        connection::{ClientConnection, DialTurn, NextMessage},
        exchange::{Exchange, ExchangeEnd, ExchangeLimits, ExchangeStop},
        fate::Fate,
        hold,
        record::OpenEntry,
        reset,
    },
    http::request::RequestHead,
    transport::service_stream::ServiceStream,
};

/// Relays a client's connection until the client, the service or a fault ends it.
pub(crate) async fn relay(mut connection: Box<ClientConnection>) {
    // A fault at `Connect` is carried out before a byte is read.
    if let Some(mut entry) = connection.admit_on_connect().await {
        match entry.fate {
            Fate::Reset(_) => return connection.reset_unforwarded(Some(entry)),
            Fate::Hold { at: _, lasts } => Box::pin(hold::wait(&mut entry, lasts)).await,
            Fate::Kill { at: _, after } => return Box::pin(connection.kill_unforwarded(after, entry)).await,
            Fate::Pass => {}
        }
        connection.admitted = Some(entry);
    }
    while let Some(message) = connection.next_message().await {
        let kept = match message {
            NextMessage::Request(head) => relay_request(connection, &head).await,
            NextMessage::Bytes(reason) => return Box::pin(relay_bytes(connection, reason)).await,
            NextMessage::Surplus => return Box::pin(relay_surplus(connection)).await,
        };
        match kept {
            Some(kept) => connection = kept,
            None => return,
        }
    }
    Box::pin(connection.close_idle()).await;
}

/// Relays one request as its fate says. `None` when the connection has ended with it.
async fn relay_request(mut connection: Box<ClientConnection>, head: &RequestHead) -> Option<Box<ClientConnection>> {
    let mut entry = connection.admit(head.attempt, Protocol::Http1);
    connection.count_request(head);
    if let Some(entry) = entry.as_ref().filter(|entry| entry.must_wait) {
        Box::pin(entry.await_room()).await;
    }
    let fate = fate(entry.as_ref());
    let limits = match fate {
        Fate::Pass => ExchangeLimits::NONE,
        Fate::Reset(Point::Connect | Point::BeforeRequest) => {
            connection.reset_unforwarded(entry);
            return None;
        }
        Fate::Kill { .. } => return Box::pin(relay_killing(connection, head, entry)).await,
        Fate::Reset(point) => reset::limits(point),
        Fate::Hold { at, lasts } => {
            Box::pin(hold::before_forwarding(entry.as_mut(), at, lasts)).await;
            hold::limits(at)
        }
    };
    let Some(mut service) = connection.dialled().await else {
        connection.reset_unreachable(entry);
        return None;
    };
    let sockets = (&mut connection.client, &mut service);
    let copies = (&mut connection.up, &mut connection.down);
    let mut exchange = Exchange::new(sockets, copies, head, limits, &connection.plane);
    let end = match fate {
        Fate::Pass | Fate::Reset(_) | Fate::Kill { .. } => exchange.run().await,
        Fate::Hold { at, lasts } => Box::pin(hold::run(&mut exchange, entry.as_mut(), at, lasts)).await,
    };
    match fate {
        Fate::Reset(point) if reset::is_due(point, end.stop) => {
            Box::pin(connection.reset_at(point, service, &end, entry)).await;
            return None;
        }
        Fate::Hold { .. } if hold::outlasts_client(entry.as_ref(), &end) => {
            Box::pin(connection.finish_without_client(service, &end, entry)).await;
            return None;
        }
        Fate::Pass | Fate::Reset(_) | Fate::Hold { .. } | Fate::Kill { .. } => {}
    }
    conclude(connection, service, end, entry).await
}

/// Relays one request whose fault kills the service at a point of it.
async fn relay_killing(
    mut connection: Box<ClientConnection>,
    head: &RequestHead,
    entry: Option<OpenEntry>,
) -> Option<Box<ClientConnection>> {
    let (Fate::Kill { at, after }, Some(entry)) = (fate(entry.as_ref()), entry) else { return None };
    if let Point::Connect | Point::BeforeRequest = at {
        Box::pin(connection.kill_unforwarded(after, entry)).await;
        return None;
    }
    let plane = Arc::clone(&connection.plane);
    // The client goes on when it has the whole response, so that no other request may begin before that.
    let turn = if at.is_after_response() { Some(Box::pin(plane.service_life.turn()).await) } else { None };
    let dialled = match &turn {
        None => connection.dialled().await,
        Some(_) => Box::pin(connection.dial(DialTurn::Killing)).await,
    };
    let Some(mut service) = dialled else {
        connection.reset_unreachable(Some(entry));
        return None;
    };
    let sockets = (&mut connection.client, &mut service);
    let copies = (&mut connection.up, &mut connection.down);
    let end = Box::pin(Exchange::new(sockets, copies, head, reset::limits(at), &plane).run()).await;
    if reset::is_due(at, end.stop) {
        Box::pin(connection.kill_at(at, after, service, &end, (entry, turn))).await;
        return None;
    }
    conclude(connection, service, end, Some(entry)).await
}

/// Ends a request whose fault, if there is one, was carried out or has nothing left to do.
async fn conclude(
    connection: Box<ClientConnection>,
    service: ServiceStream,
    end: ExchangeEnd,
    entry: Option<OpenEntry>,
) -> Option<Box<ClientConnection>> {
    match end.stop {
        ExchangeStop::ResponseDone => return connection.keep(service, &end, entry).await,
        ExchangeStop::Switched | ExchangeStop::Unreadable(_) => Box::pin(connection.switch(service, &end, entry)).await,
        ExchangeStop::ClientGone | ExchangeStop::ClientEnded => connection.abandon(service, &end, entry),
        // A limit is always one of a fault, which has been carried out by now.
        ExchangeStop::ServiceGone | ExchangeStop::AtLimit(_) => connection.reset_unanswered(&end, entry),
    }
    None
}

/// Passes bytes that are not HTTP/1. Only a fault at `Connect` takes effect on them.
async fn relay_bytes(mut connection: Box<ClientConnection>, reason: BytesReason) {
    let mut entry = connection.admit(None, Protocol::Bytes);
    if let Some(entry) = entry.as_ref().filter(|entry| entry.must_wait) {
        entry.await_room().await;
    }
    match fate(entry.as_ref()) {
        Fate::Pass => {}
        Fate::Reset(_) => return connection.reset_unforwarded(entry),
        Fate::Hold { at, lasts } => hold::before_forwarding(entry.as_mut(), at, lasts).await,
        // At any other point than `Connect`, bytes meet no fault.
        Fate::Kill { .. } => return,
    }
    match connection.dialled().await {
        Some(service) => connection.tunnel_bytes(service, entry, Some(reason)).await,
        None => connection.reset_unreachable(entry),
    }
}

/// Passes what the service sends beyond its response. That is no request, so it has no fate and no entry in the record.
async fn relay_surplus(mut connection: Box<ClientConnection>) {
    if let Some(service) = connection.service.take() {
        connection.tunnel_bytes(service, None, None).await;
    }
}

fn fate(entry: Option<&OpenEntry>) -> Fate {
    entry.map_or(Fate::Pass, |entry| entry.fate)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The memory of the task of a connection, in bytes.
    fn size<F: Future>(_: impl Fn(Box<ClientConnection>) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_open_connection_takes_little_memory() {
        assert!(size(relay) <= 1024, "{}", size(relay));
    }
}
