//! A proxy that resets connections at a point of the request, as the rules of a run and its seed say, and writes down
//! what it did. It knows requests, not payments: it must not know of money, ledgers or claims.
//!
//! Two planes: `relay` obeys the rules of an experiment, request by request, and `link` the toxics of a named proxy, as
//! Toxiproxy would, connection by connection. Both are told at one port, by `control` and by `api`; where nothing is to be
//! done to the bytes, both move them as `tunnel` does.

use std::{
    hash::{BuildHasher as _, RandomState},
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use paylab_part::listen::listen;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;
use tokio::{fs, net::TcpListener, time::timeout};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};
use tracing::{field, info};

use crate::{fault::plane::FaultPlane, options::Options, toxic::collection::Collection, toxic::named_proxy::Ground};

mod fault;
#[cfg(fuzzing)]
pub mod fuzzing;
mod http;
mod metrics;
pub mod options;
mod toxic;
mod transport;

/// Requests at the control port have so long to end at shutdown.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// A proxy that listens and does not serve yet.
#[derive(Debug)]
pub struct ResetProxy {
    plane: Arc<FaultPlane>,
    /// Where clients of an experiment connect, if any do.
    listener: Option<(TcpListener, SocketAddr)>,
    collection: Arc<Collection>,
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
    /// A name cannot be resolved.
    #[error("cannot listen at {0}: no such address")]
    Address(String),
    /// The file of proxies cannot be used.
    #[error("--config {path}: {reason}")]
    Config {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Named proxies cannot be made.
    #[error("cannot make the proxies: {0}")]
    Proxies(String),
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
    /// Binds all ports; 0 takes a free one. Clients of an experiment that connect now wait until [`Self::serve`].
    ///
    /// # Errors
    /// When an address cannot be listened at, or the file of proxies cannot be used.
    pub async fn start(options: Options) -> Result<Self, Error> {
        raise_descriptors();
        let listener = options.listen().map(|address| bind(address, "clients")).transpose()?;
        let (control, control_address) = bind_first(&options.control()).await?;
        let connections_max = options.connections_max;
        let seed = options.toxiproxy.seed.unwrap_or_else(drawn_seed);
        let dial_timeout = options.dial_timeout.duration();
        let ground = Ground { seed, connections_max, dial_timeout, links: TaskTracker::new() };
        let collection = Arc::new(Collection::new(ground));
        if let Some(path) = &options.toxiproxy.config {
            let failed = |reason| Error::Config { path: path.clone(), reason };
            let body = fs::read(path).await.map_err(|error| failed(error.to_string()))?;
            collection.load(&body).await.map_err(|refused| failed(refused.to_string()))?;
        }
        let plane = Arc::new(FaultPlane::new(&options));
        let port = listener.as_ref().map(|(_, address)| address.port());
        let upstream = port.map(|_| field::display(options.upstream()));
        info!(port, control = control_address.port(), upstream, seed, "reset proxy ready");
        Ok(Self { plane, listener, collection, control, control_address, connections_max })
    }

    /// Where clients of an experiment connect; nowhere when only Toxiproxy's options are used.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.as_ref().map(|(_, address)| *address)
    }

    /// Where the proxy is controlled.
    #[must_use]
    pub const fn control_address(&self) -> SocketAddr {
        self.control_address
    }

    /// Makes named proxies, of a list as `POST /populate` takes it; answers with where they listen.
    ///
    /// # Errors
    /// The list cannot be read, or a proxy cannot listen.
    pub async fn populate(&self, proxies: &[u8]) -> Result<Vec<String>, Error> {
        self.collection.load(proxies).await.map_err(|refused| Error::Proxies(refused.to_string()))
    }

    /// Relays and obeys until the token is cancelled; then lets what is in flight end, within a bound.
    ///
    /// # Errors
    /// When the control port breaks.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), Error> {
        let Self { plane, listener, collection, control, control_address: _, connections_max } = self;
        let router =
            toxic::api::router(fault::control::router(Arc::clone(&plane)), Arc::clone(&collection), Arc::clone(&plane));
        let answers = axum::serve(control, router).with_graceful_shutdown(shutdown.clone().cancelled_owned());
        let answers = AbortOnDropHandle::new(tokio::spawn(answers.into_future()));
        match listener {
            Some((listener, _)) => fault::listener::accept(listener, plane, connections_max, shutdown).await,
            None => shutdown.cancelled().await,
        }
        let answered = timeout(LAST_ANSWERS, answers).await;
        collection.close().await;
        match answered {
            Ok(Ok(Err(error))) => Err(Error::Control(error)),
            Ok(Ok(Ok(())) | Err(_)) | Err(_) => Ok(()),
        }
    }
}

/// As many descriptors as the system lets a process have: each connection needs two.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    // What cannot be raised is met at accept, which waits then.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Any number will do, as long as it is told.
fn drawn_seed() -> u64 {
    RandomState::new().hash_one("seed")
}

async fn bind_first(address: &str) -> Result<(TcpListener, SocketAddr), Error> {
    let unknown = || Error::Address(address.to_owned());
    let addresses = toxic::named_proxy::addresses(address).await.map_err(|_| unknown())?;
    let mut failure = unknown();
    for address in addresses {
        match bind(address, "control") {
            Ok(bound) => return Ok(bound),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn bind(address: SocketAddr, purpose: &'static str) -> Result<(TcpListener, SocketAddr), Error> {
    let bound = listen(address).and_then(|listener| {
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    bound.map_err(|source| Error::Listen { address, purpose, source })
}
