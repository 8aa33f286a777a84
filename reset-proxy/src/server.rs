//! The whole proxy: binds its ports, serves both planes, and ends them in order.

use std::{
    hash::{BuildHasher as _, RandomState},
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use futures::future::BoxFuture;
use paylab_part::{listen::listen, tls::TlsError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;
use tokio::{fs, net::TcpListener, time::timeout};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};
use tracing::{field, info};

use crate::{
    control,
    fault::{listener, plane::FaultPlane},
    options::Options,
    toxic::{acceptor::ProxyShared, collection::Collection},
    transport::listen_address::resolve,
    workers::Workers,
};

/// How long requests at the control port may take to end at shutdown.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(10);

/// A proxy that listens but does not serve yet.
#[derive(Debug)]
pub struct ResetProxy {
    plane: Arc<FaultPlane>,
    /// Where clients of an experiment connect, and the address, unless only named proxies are served.
    listener: Option<(TcpListener, SocketAddr)>,
    collection: Arc<Collection>,
    control: TcpListener,
    control_address: SocketAddr,
    connections_max: u32,
    workers: Arc<Workers>,
}

/// Why the proxy cannot run.
#[derive(Debug, Error)]
pub enum Error {
    /// The proxy cannot listen at an address.
    #[error("cannot listen at {address} for {purpose}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What it is for.
        purpose: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// The name of an address cannot be resolved.
    #[error("cannot listen at {0}: no such address")]
    Address(String),
    /// The file of named proxies cannot be used.
    #[error("--config {path}: {reason}")]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The threads cannot be started.
    #[error("cannot start {count} threads: {source}; --threads sets their number")]
    Threads {
        /// How many were to run.
        count: usize,
        /// The cause.
        source: io::Error,
    },
    /// Named proxies cannot be created.
    #[error("cannot create the proxies: {0}")]
    Proxies(String),
    /// TLS to the service cannot be used.
    #[error("--upstream-tls-name: {0}")]
    Tls(#[from] TlsError),
    /// The control port failed.
    #[error("the control port failed: {0}")]
    Control(#[source] io::Error),
}

/// Starts a proxy and serves until the token is cancelled.
///
/// # Errors
/// The proxy cannot listen at an address, or the control port fails.
pub async fn run(options: Options, shutdown: CancellationToken) -> Result<(), Error> {
    ResetProxy::start(options).await?.serve(shutdown).await
}

impl ResetProxy {
    /// Binds all ports; port 0 takes a free one. Clients of an experiment that connect now wait until [`Self::serve`].
    ///
    /// # Errors
    /// The proxy cannot listen at an address, or the file of named proxies cannot be used.
    // Boxed, as below: it is then compiled once, with this crate, and not with every binary and test that calls it.
    pub fn start(options: Options) -> BoxFuture<'static, Result<Self, Error>> {
        Box::pin(async move {
            raise_descriptor_limit();
            let listener = options.listen().map(|address| bind(address, "clients")).transpose()?;
            let (control, control_address) = bind_first(&options.control()).await?;
            let connections_max = options.connections_max;
            let seed = options.toxiproxy.seed.unwrap_or_else(random_seed);
            let dial_timeout = options.dial_timeout.duration();
            let count = options.threads();
            let workers = Arc::new(Workers::start(count).map_err(|source| Error::Threads { count, source })?);
            let sessions = TaskTracker::new();
            let shared = ProxyShared { seed, connections_max, dial_timeout, sessions, workers: Arc::clone(&workers) };
            let collection = Arc::new(Collection::new(shared));
            if let Some(path) = &options.toxiproxy.config {
                let failed = |reason| Error::Config { path: path.clone(), reason };
                let body = fs::read(path).await.map_err(|error| failed(error.to_string()))?;
                collection.load(&body).await.map_err(|error| failed(error.to_string()))?;
            }
            let tls = options.upstream_tls()?;
            let plane = Arc::new(FaultPlane::new(&options, tls));
            let port = listener.as_ref().map(|(_, address)| address.port());
            let upstream = port.map(|_| field::display(options.upstream()));
            info!(port, control = control_address.port(), upstream, seed, threads = count, "reset proxy ready");
            Ok(Self { plane, listener, collection, control, control_address, connections_max, workers })
        })
    }

    /// Where clients of an experiment connect. `None` when only options of Toxiproxy are used.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.as_ref().map(|(_, address)| *address)
    }

    /// Where the proxy is controlled.
    #[must_use]
    pub const fn control_address(&self) -> SocketAddr {
        self.control_address
    }

    /// Creates named proxies from a list as `POST /populate` takes it. Returns the addresses at which they listen.
    ///
    /// # Errors
    /// The list cannot be read, or a proxy cannot listen.
    pub async fn populate(&self, proxies: &[u8]) -> Result<Vec<String>, Error> {
        self.collection.load(proxies).await.map_err(|error| Error::Proxies(error.to_string()))
    }

    /// Serves until the token is cancelled, then waits for the requests in flight within a bound of time.
    ///
    /// # Errors
    /// The control port fails.
    pub fn serve(self, shutdown: CancellationToken) -> BoxFuture<'static, Result<(), Error>> {
        Box::pin(async move {
            let Self { plane, listener, collection, control, control_address: _, connections_max, workers } = self;
            let router = control::router(&plane, &collection);
            let controlled = axum::serve(control, router).with_graceful_shutdown(shutdown.clone().cancelled_owned());
            let controlled = AbortOnDropHandle::new(tokio::spawn(controlled.into_future()));
            match listener {
                Some((listener, _)) => listener::serve(listener, plane, &workers, connections_max, shutdown).await,
                None => shutdown.cancelled().await,
            }
            let ended = timeout(CONTROL_TIMEOUT, controlled).await;
            collection.close().await;
            workers.stop();
            match ended {
                Ok(Ok(Err(error))) => Err(Error::Control(error)),
                Ok(Ok(Ok(())) | Err(_)) | Err(_) => Ok(()),
            }
        })
    }
}

/// Raises the limit of open descriptors as far as the system allows, because each connection needs two.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    // If this fails, accepting a connection waits for a descriptor.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// A random seed; it is logged, so that a run can be repeated.
fn random_seed() -> u64 {
    RandomState::new().hash_one("seed")
}

async fn bind_first(address: &str) -> Result<(TcpListener, SocketAddr), Error> {
    let unknown = || Error::Address(address.to_owned());
    let addresses = resolve(address).await.map_err(|_| unknown())?;
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
