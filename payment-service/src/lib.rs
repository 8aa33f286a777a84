//! A payment service with eight ways to treat a repeat, five of them broken on purpose.
//!
//! The path of a payment through the modules: `http` reads it, `booking` chooses how it is committed (alone or in a group), `dedup` treats
//! it in its mode, and `ledger` has the SQL for both databases. This crate must not know of faults, proxies or clients.

mod booking;
mod dedup;
mod error;
mod http;
mod ledger;
mod log_limit;
pub mod options;
mod payment;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures::future::{BoxFuture, LocalBoxFuture};
use paylab_part::listen::listen;
use tokio::{
    net::TcpListener,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{booking::Bookings, ledger::Ledger, options::Options};
pub use crate::{
    error::Error,
    ledger::{BadUrl, DATABASE_ENV, DatabaseKind, DatabaseUrl, OpenError, UrlOrigin, create_schema, drop_schema},
};

/// How long a shutdown waits for what is under way, beside the processing time of a booking.
const FINISH_WITHIN: Duration = Duration::from_secs(3);
/// The longest processing time that a shutdown waits for. Kubernetes kills a pod after 30 s.
const PROCESSING_WAIT_MAX: Duration = Duration::from_secs(15);
/// How long it waits for bookings when connections have taken all of that time.
const DRAIN_WITHIN: Duration = Duration::from_secs(1);
/// How long it waits for the database to close. A server that does not answer must not hold it.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// A payment service that listens and is ready.
#[derive(Debug)]
pub struct PaymentService {
    listener: TcpListener,
    address: SocketAddr,
    bookings: Arc<Bookings>,
    writer: Option<JoinHandle<()>>,
    finish_within: Duration,
}

impl PaymentService {
    /// Opens the database, makes its tables and binds the port.
    ///
    /// # Errors
    /// The options contradict each other, the database cannot be opened, or the port is not free.
    // Boxed, as below: it is then compiled once, with this crate, and not with every binary and test that calls it.
    pub fn start(options: Options) -> LocalBoxFuture<'static, Result<Self, Error>> {
        Box::pin(async move {
            options.check()?;
            let processing_time = options.processing_time.duration();
            let ledger = Ledger::open(&options.database, options.schema.as_deref(), processing_time).await?;
            let unbound = |cause| Error::Listen { address: options.listen, cause };
            let listener = listen(options.listen).map_err(unbound)?;
            let address = listener.local_addr().map_err(unbound)?;
            let (bookings, writer) = Bookings::new(ledger, &options);
            let finish_within = FINISH_WITHIN + processing_time.min(PROCESSING_WAIT_MAX);
            Ok(Self { listener, address, bookings: Arc::new(bookings), writer, finish_within })
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is cancelled; then finishes the bookings in flight and closes the database. What has not ended after about five
    /// seconds, and the processing time, is dropped, also when the database does not answer.
    ///
    /// # Errors
    /// The listener fails.
    pub fn serve(self, shutdown: CancellationToken) -> BoxFuture<'static, Result<(), Error>> {
        Box::pin(async move {
            let Self { listener, address: _, bookings, writer, finish_within } = self;
            let ledger = bookings.ledger.clone();
            let router = http::router(Arc::clone(&bookings));
            let stopped = shutdown.clone();
            let serving =
                axum::serve(listener, router).with_graceful_shutdown(async move { stopped.cancelled().await });
            let deadline = async {
                shutdown.cancelled().await;
                sleep(finish_within).await;
            };
            tokio::select! {
                served = serving => served.map_err(Error::Serve)?,
                () = deadline => warn!("connections are still open; closing them"),
            }
            if !bookings.drain.drain(DRAIN_WITHIN).await {
                warn!(in_flight = bookings.drain.count(), "bookings are still in flight; dropping them");
                bookings.abandoned.cancel();
            }
            if let Some(writer) = writer {
                // It has nothing left to do, or it waits for a database that does not answer.
                writer.abort();
            }
            if timeout(CLOSE_WITHIN, ledger.close()).await.is_err() {
                warn!("the database does not answer; leaving its connections");
            }
            Ok(())
        })
    }
}

/// Starts a service, logs its address, and serves until it is cancelled.
///
/// # Errors
/// It cannot start or continue.
pub async fn run(options: Options, shutdown: CancellationToken) -> Result<(), Error> {
    let dedup = options.dedup;
    let service = tokio::select! {
        started = PaymentService::start(options) => started?,
        // A database that does not answer must not hold the end.
        () = shutdown.cancelled() => return Ok(()),
    };
    info!(address = %service.address(), ?dedup, "payment service ready");
    service.serve(shutdown).await?;
    info!("payment service stopped");
    Ok(())
}
