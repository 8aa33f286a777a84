//! Accepts clients, each to its own task, and no more than fit.

use std::{sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{fault::counters::count, fault::plane::FaultPlane, fault::relay::Relay};

/// When no descriptor is left, the next try waits so long.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// What is in flight at shutdown has so long to end.
const LAST_FLIGHTS: Duration = Duration::from_secs(10);
/// Relays that were told to stop have so long to be gone.
const LAST_TASKS: Duration = Duration::from_secs(1);

/// One accepted connection: it counts as open until this is dropped.
#[derive(Debug)]
struct Admission {
    plane: Arc<FaultPlane>,
    _permit: OwnedSemaphorePermit,
}

/// Relays connections until the token is cancelled; then lets what is in flight end.
pub(crate) async fn accept(
    listener: TcpListener,
    plane: Arc<FaultPlane>,
    connections_max: u32,
    shutdown: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(connections_max as usize));
    let stop = CancellationToken::new();
    shutdown.run_until_cancelled(accept_all(listener, &plane, &room, &stop)).await;
    if !plane.flights.drain(LAST_FLIGHTS).await {
        warn!(relays = plane.flights.count(), "stopped before these relays had ended");
    }
    stop.cancel();
    let _ = timeout(LAST_TASKS, room.acquire_many(connections_max)).await;
}

async fn accept_all(listener: TcpListener, plane: &Arc<FaultPlane>, room: &Arc<Semaphore>, stop: &CancellationToken) {
    loop {
        // The semaphore is never closed, so there is always room at some time.
        let Ok(permit) = Arc::clone(room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((client, _)) => relay(client, Admission { plane: Arc::clone(plane), _permit: permit }, stop.clone()),
            Err(error) => {
                warn!(%error, "could not accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn relay(client: TcpStream, admission: Admission, stop: CancellationToken) {
    count(&admission.plane.counters.connections);
    let relay = Relay::new(Arc::clone(&admission.plane), client);
    tokio::spawn(async move {
        let _admission = admission;
        stop.run_until_cancelled(relay.run()).await;
    });
}

impl Drop for Admission {
    fn drop(&mut self) {
        count(&self.plane.counters.connections_ended);
    }
}
