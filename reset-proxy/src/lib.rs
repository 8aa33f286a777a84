//! A proxy that resets connections at a point of the request, as the rules of a run and its seed say, and writes down
//! what it did. It knows requests, not payments: it must not know of money, ledgers or claims.
//!
//! Not here yet: the Toxiproxy-compatible plane. It will be routes beside `control`'s and other relays beside
//! `relay`'s, on listeners of its own.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use paylab_part::listen::listen;
use thiserror::Error;
use tokio::{net::TcpListener, time::timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::info;

use crate::{options::Options, plane::FaultPlane};

mod asked;
mod buffer;
mod chunked;
mod control;
mod counters;
mod ending;
mod exchange;
mod head;
mod listener;
pub mod options;
mod passage;
mod peek;
mod plane;
mod record;
mod relay;
mod response;
mod rules;
mod seat;
mod tunnel;
mod upstream;

/// Requests at the control port have so long to end at shutdown.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// A proxy that listens and does not serve yet.
#[derive(Debug)]
pub struct ResetProxy {
    plane: Arc<FaultPlane>,
    listener: TcpListener,
    address: SocketAddr,
    control: TcpListener,
    control_address: SocketAddr,
    connections_max: u32,
}

/// Why the proxy cannot run.
#[derive(Debug, Error)]
pub enum Error {
    /// An address cannot be listened at.
    #[error("cannot listen at {address} for {purpose}: {source}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// What for.
        purpose: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The control port broke.
    #[error("the control port stopped: {0}")]
    Control(#[source] io::Error),
}

/// Starts a proxy and serves until the token is cancelled.
///
/// # Errors
/// When an address cannot be listened at, or the control port breaks.
pub async fn run(options: Options, shutdown: CancellationToken) -> Result<(), Error> {
    ResetProxy::start(options).await?.serve(shutdown).await
}

impl ResetProxy {
    /// Binds both ports; 0 takes a free one. Clients that connect now wait until [`Self::serve`].
    ///
    /// # Errors
    /// When an address cannot be listened at.
    #[expect(clippy::unused_async, reason = "binding needs a runtime, and every part starts alike")]
    pub async fn start(options: Options) -> Result<Self, Error> {
        let (listener, address) = bind(options.listen, "clients")?;
        let (control, control_address) = bind(options.control, "control")?;
        let connections_max = options.connections_max;
        let plane = Arc::new(FaultPlane::new(&options));
        info!(port = address.port(), control = control_address.port(), upstream = %options.upstream, "reset proxy ready");
        Ok(Self { plane, listener, address, control, control_address, connections_max })
    }

    /// Where clients connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the proxy is controlled.
    #[must_use]
    pub const fn control_address(&self) -> SocketAddr {
        self.control_address
    }

    /// Relays and obeys until the token is cancelled; then lets what is in flight end, within a bound.
    ///
    /// # Errors
    /// When the control port breaks.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), Error> {
        let Self { plane, listener, address: _, control, control_address: _, connections_max } = self;
        let answers = axum::serve(control, control::router(Arc::clone(&plane)))
            .with_graceful_shutdown(shutdown.clone().cancelled_owned());
        let answers = AbortOnDropHandle::new(tokio::spawn(answers.into_future()));
        listener::accept(listener, plane, connections_max, shutdown).await;
        match timeout(LAST_ANSWERS, answers).await {
            Ok(Ok(Err(error))) => Err(Error::Control(error)),
            Ok(Ok(Ok(())) | Err(_)) | Err(_) => Ok(()),
        }
    }
}

fn bind(address: SocketAddr, purpose: &'static str) -> Result<(TcpListener, SocketAddr), Error> {
    let bound = listen(address).and_then(|listener| {
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    bound.map_err(|source| Error::Listen { address, purpose, source })
}
