//! Accepts the clients of an experiment, each to a task of its own, up to the bound of connections.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    fault::{
        connection::{Accepted, ClientConnection},
        plane::FaultPlane,
        relay::relay,
    },
    transport::accept::accept,
    workers::Workers,
};

/// How long requests in flight at shutdown may take to end.
const SHUTDOWN_DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long tasks that were told to stop may take to end.
const TASK_END_TIMEOUT: Duration = Duration::from_secs(1);

/// Counts one connection as open until it is dropped.
#[derive(Debug)]
struct OpenConnection {
    plane: Arc<FaultPlane>,
    _permit: OwnedSemaphorePermit,
}

/// Relays connections until the token is cancelled; then waits for the requests in flight.
pub(crate) async fn serve(
    listener: TcpListener,
    plane: Arc<FaultPlane>,
    workers: &Workers,
    connections_max: u32,
    shutdown: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(connections_max as usize));
    let stop = CancellationToken::new();
    shutdown.run_until_cancelled(accept_all(listener, &plane, workers, (&room, &stop))).await;
    if !plane.in_flight.drain(SHUTDOWN_DRAIN_TIMEOUT).await {
        warn!(in_flight = plane.in_flight.count(), "stopped before these requests had ended");
    }
    stop.cancel();
    let _ = timeout(TASK_END_TIMEOUT, room.acquire_many(connections_max)).await;
}

async fn accept_all(
    listener: TcpListener,
    plane: &Arc<FaultPlane>,
    workers: &Workers,
    (room, stop): (&Arc<Semaphore>, &CancellationToken),
) {
    // The semaphore is never closed, so this loop does not end by itself.
    while let Ok(permit) = Arc::clone(room).acquire_owned().await {
        let (socket, _) = accept(&listener, None).await;
        plane.counters.connections.increment();
        spawn(socket, OpenConnection { plane: Arc::clone(plane), _permit: permit }, workers, stop.clone());
    }
}

fn spawn(socket: TcpStream, open: OpenConnection, workers: &Workers, stop: CancellationToken) {
    // Numbered and in flight from now on, in the order of accepting.
    let accepted = Accepted::now(&open.plane);
    let place = workers.place();
    let client = match place.take(socket) {
        Ok(client) => client,
        Err(error) => return warn!(%error, "could not serve a connection"),
    };
    let runtime = place.runtime();
    runtime.spawn(async move {
        let (open, _place) = (open, place);
        // Pinned here, because what is given to that function by value takes its memory twice.
        let relaying = pin!(relay(ClientConnection::new(Arc::clone(&open.plane), accepted, client)));
        stop.run_until_cancelled(relaying).await;
    });
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.plane.counters.connections_ended.increment();
    }
}
