//! A payment service with eight ways to treat a repeat, five of them broken on purpose.
//!
//! The path of a payment through the modules: `http` reads it, `booking` chooses how it is committed (alone or in a group), `dedup` treats
//! it in its mode, and `ledger` has the SQL for both databases. This crate must not know of faults, proxies or clients.

mod booking;
mod dedup;
mod error;
mod http;
mod ledger;
pub mod options;
mod payment;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use paylab_part::listen::listen;
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{booking::Bookings, ledger::Ledger, options::Options};
pub use crate::{
    error::Error,
    ledger::{BadUrl, DATABASE_ENV, DatabaseKind, DatabaseUrl, OpenError, UrlOrigin, create_schema, drop_schema},
};

/// How long a shutdown waits for connections, for bookings in flight and for the group commit.
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(10);

/// A payment service that listens and is ready.
#[derive(Debug)]
pub struct PaymentService {
    listener: TcpListener,
    address: SocketAddr,
    bookings: Arc<Bookings>,
    writer: Option<JoinHandle<()>>,
}

impl PaymentService {
    /// Opens the database, makes its tables and binds the port.
    ///
    /// # Errors
    /// The options contradict each other, the database cannot be opened, or the port is not free.
    pub async fn start(options: Options) -> Result<Self, Error> {
        options.check()?;
        let ledger = Ledger::open(&options.database, options.schema.as_deref()).await?;
        let unbound = |cause| Error::Listen { address: options.listen, cause };
        let listener = listen(options.listen).map_err(unbound)?;
        let address = listener.local_addr().map_err(unbound)?;
        let (bookings, writer) = Bookings::new(ledger, &options);
        Ok(Self { listener, address, bookings: Arc::new(bookings), writer })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is cancelled; then finishes the bookings in flight and closes the database.
    ///
    /// # Errors
    /// The listener fails.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), Error> {
        let Self { listener, address: _, bookings, writer } = self;
        let ledger = bookings.ledger.clone();
        let router = http::router(Arc::clone(&bookings));
        let stopped = shutdown.clone();
        let serving = axum::serve(listener, router).with_graceful_shutdown(async move { stopped.cancelled().await });
        let deadline = async {
            shutdown.cancelled().await;
            tokio::time::sleep(SHUTDOWN_WITHIN).await;
        };
        tokio::select! {
            served = serving => served.map_err(Error::Serve)?,
            () = deadline => warn!("connections are still open; closing them"),
        }
        if !bookings.drain.drain(SHUTDOWN_WITHIN).await {
            warn!("bookings are still in flight; dropping them");
        }
        drop(bookings);
        if let Some(writer) = writer {
            // The queue closes with the last handler; a handler that hangs must not delay the shutdown.
            let _ = timeout(SHUTDOWN_WITHIN, writer).await;
        }
        ledger.close().await;
        Ok(())
    }
}

/// Starts a service, logs its address, and serves until it is cancelled.
///
/// # Errors
/// It cannot start or continue.
pub async fn run(options: Options, shutdown: CancellationToken) -> Result<(), Error> {
    let dedup = options.dedup;
    let service = PaymentService::start(options).await?;
    info!(address = %service.address(), ?dedup, "payment service ready");
    service.serve(shutdown).await?;
    info!("payment service stopped");
    Ok(())
}
