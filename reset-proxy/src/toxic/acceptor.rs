//! Accepts the connections of a named proxy, dials the upstream for each, and starts its session.

use std::{sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::{
    toxic::{
        sampler::RandomKey,
        session::{Session, Toxics},
        traffic::Traffic,
    },
    transport::{accept::accept, endings::close, upstream::Upstream},
    workers::Workers,
};

/// What all named proxies share.
#[derive(Debug, Clone)]
pub(crate) struct ProxyShared {
    pub(crate) seed: u64,
    /// The bound of open connections of each proxy.
    pub(crate) connections_max: u32,
    pub(crate) dial_timeout: Duration,
    /// The connections of all proxies.
    pub(crate) sessions: TaskTracker,
    /// The threads that serve them.
    pub(crate) workers: Arc<Workers>,
}

/// What each new connection of a proxy is given.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionContext {
    pub(crate) key: RandomKey,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) toxics: watch::Receiver<Toxics>,
}

/// Counts one connection as open until it is dropped.
#[derive(Debug)]
struct OpenConnection(Arc<Traffic>);

/// Accepts connections, each to a task of its own, up to the bound of connections.
pub(crate) async fn serve(listener: TcpListener, context: ConnectionContext, shared: ProxyShared) {
    let room = Arc::new(Semaphore::new(shared.connections_max as usize));
    // The semaphore is never closed, so this loop does not end by itself.
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        let (socket, client) = accept(&listener, Some(&context.key.proxy)).await;
        let mut context = context.clone();
        context.key.connection = context.traffic.connections.increment();
        debug!(proxy = %context.key.proxy, %client, connection = context.key.connection, "accepted");
        let open = OpenConnection(Arc::clone(&context.traffic));
        let place = shared.workers.place();
        let client = match place.take(socket) {
            Ok(client) => client,
            Err(error) => {
                warn!(proxy = %context.key.proxy, %error, "could not serve a connection");
                continue;
            }
        };
        let runtime = place.runtime();
        let serving = async move {
            let (_permit, _place, _open) = (permit, place, open);
            connect(client, context).await;
        };
        shared.sessions.spawn_on(serving, &runtime);
    }
}

async fn connect(client: TcpStream, context: ConnectionContext) {
    let ConnectionContext { key, upstream, traffic, mut toxics } = context;
    let dialled = tokio::select! {
        biased;
        dialled = upstream.dial() => dialled,
        () = proxy_stopped(&mut toxics) => return close(client).await,
    };
    match dialled {
        Ok(service) => Session::new(client, service, &key, traffic).run(toxics).await,
        Err(error) => {
            traffic.upstream_unreachable.increment();
            warn!(proxy = %key.proxy, %error, "could not reach the upstream");
            close(client).await;
        }
    }
}

/// Waits until the proxy is stopped, and does not mark the toxics as seen.
async fn proxy_stopped(toxics: &mut watch::Receiver<Toxics>) {
    let mut watching = toxics.clone();
    while watching.changed().await.is_ok() {}
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connections_ended.increment();
    }
}
