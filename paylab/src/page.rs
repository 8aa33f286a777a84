//! The lesson as a page, which `paylab serve` shows: what its reader does by hand, to be pressed and seen. It pays, breaks and reads through
//! the same ports as everybody else, and runs on a thread of its own, so that it costs the parts nothing but the requests that it sends.
//!
//! | module | what is there |
//! |---|---|
//! | `assets` | the files of the page, and the policy with which they are sent |
//! | `guard` | who may ask: nobody's page but this one |
//! | `routes` | what can be asked |
//! | `state` | what the page shows |
//! | `watching` | reads what the parts have counted, while somebody looks |
//! | `work` | carries out what was pressed, one thing after another |
//! | `experiment` | what was pressed, as an experiment |
//! | `single` | one payment, attempt by attempt |
//! | `parts` | requests to the service and to the proxy |
//!
//! It must not know how the proxy breaks connections or how the service books.

mod assets;
mod experiment;
mod guard;
mod parts;
mod routes;
mod single;
mod state;
mod watching;
mod work;

use std::{net::SocketAddr, sync::mpsc, time::Duration};

use anyhow::anyhow;
use paylab_core::targets::ours::Dedup;
use paylab_part::listen::listen;
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

pub(crate) use self::parts::Parts;
use self::{state::Shared, work::Worker};

/// How long open connections may take to end at shutdown.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// How the page changes the mode of the service: it says what it wants, and learns what runs.
#[derive(Debug)]
pub(crate) struct ModeSwitch {
    /// The mode that is wanted.
    pub(crate) wanted: watch::Sender<Dedup>,
    /// The mode in which the service runs.
    pub(crate) running: watch::Receiver<Dedup>,
}

/// What the page is about.
#[derive(Debug)]
pub(crate) struct Lesson {
    /// Where it is shown.
    pub(crate) listen: SocketAddr,
    /// Where the parts are.
    pub(crate) parts: Parts,
    /// The seed that it suggests.
    pub(crate) seed: u64,
    /// The mode of the service.
    pub(crate) mode: ModeSwitch,
}

/// Shows the page until it is cancelled. Sends its address once it listens.
///
/// # Errors
/// It cannot listen, or fails.
pub(crate) async fn show(
    lesson: Lesson,
    address: mpsc::Sender<SocketAddr>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let Lesson { listen: at, parts, seed, mode } = lesson;
    let unbound = |error| anyhow!("cannot listen at {at} for the page: {error}; use --page-port for another port");
    let listener = listen(at).map_err(unbound)?;
    address.send(listener.local_addr().map_err(unbound)?)?;
    let shared = Shared::new(parts, seed, *mode.running.borrow(), shutdown.clone());
    let (orders, worker) = Worker::new(shared.clone(), mode);
    let router = routes::router(shared.clone(), orders);
    let serving = axum::serve(listener, router).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let beside = async { tokio::join!(worker.work(), watching::watch(&shared)) };
    let late = async {
        shutdown.cancelled().await;
        // Whoever keeps a connection open does not hold the end.
        sleep(CLOSE_WITHIN).await;
    };
    tokio::select! {
        served = serving => Ok(served?),
        _ = beside => Ok(()),
        () = late => Ok(()),
    }
}
