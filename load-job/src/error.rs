//! Why a load ends without a report. A proxy that stops during the load and missing evidence are not errors here; the judge reports them.
//!
//! A cause is part of an error's text and not its source, so that a chain of sources does not repeat it.

use std::{io, path::PathBuf};

use paylab_core::run_id::RunId;
use paylab_part::tls::TlsError;

use crate::control::ControlError;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There are fewer workers.
    #[error("worker {worker} is not one of the experiment's {workers}, which are numbered from 0; check --shard")]
    Worker {
        /// The worker asked for.
        worker: u32,
        /// As the experiment says.
        workers: u32,
    },
    /// Several workers cannot each draw a run id.
    #[error("an experiment with {workers} workers needs --run-id, the same for all of them")]
    RunId {
        /// As the experiment says.
        workers: u32,
    },
    /// The proxy's name cannot be resolved.
    #[error("cannot find the proxy {address}: {cause}; check --proxy, which is HOST:PORT")]
    Address {
        /// `HOST:PORT` as given.
        address: String,
        /// What the system says.
        cause: io::Error,
    },
    /// The name of the user's own service cannot be resolved.
    #[error("cannot find the service {address}: {cause}; check spec.target, or --target")]
    Service {
        /// `HOST:PORT` as the contract says.
        address: String,
        /// What the system says.
        cause: io::Error,
    },
    /// The proxy does not accept the rules.
    #[error(
        "cannot put the rules at the proxy's control address {address}: {cause}; start the proxy first or check --control"
    )]
    Rules {
        /// `HOST:PORT` as given.
        address: String,
        /// What went wrong.
        cause: ControlError,
    },
    /// The ledger cannot be read before the load.
    #[error(
        "cannot read the ledger of the payment service at {address}: {cause}; start the service first or check --service"
    )]
    Ledger {
        /// `HOST:PORT` as given.
        address: String,
        /// What went wrong.
        cause: ControlError,
    },
    /// The run has been there before.
    #[error(
        "the ledger already holds {entries} entries of run {run}; each run needs an id of its own, so change --run-id or leave it out"
    )]
    LedgerUsed {
        /// The run.
        run: RunId,
        /// How many entries of this worker's payments.
        entries: u64,
    },
    /// TLS to the user's own service cannot be used.
    #[error("{0}")]
    Tls(#[from] TlsError),
    /// The system has no thread or descriptor for the load.
    #[error("cannot start a thread for the load: {0}; raise the limits on processes and open files")]
    Start(io::Error),
    /// A bug of this program.
    #[error("the load crashed")]
    Crashed,
    /// The report cannot be written.
    #[error("cannot write the report to {}: {cause}; check --report", path.display())]
    Report {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
}
