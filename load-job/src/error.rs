//! What ends a load without a report. A dead proxy in mid-run or missing evidence is none of it: that is for the judge.

use std::{io, path::PathBuf};

use paylab_experiment::plan::Refusal;

use crate::ask::AskError;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The experiment's file cannot be read.
    #[error("cannot read the experiment {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The experiment is not one that can be run.
    #[error("the experiment is refused: {}", sentence(.0))]
    Refused(Vec<Refusal>),
    /// There are fewer workers.
    #[error("shard {shard} is none of the experiment's {workers} workers, which count from 0; check --shard")]
    Shard {
        /// The shard asked for.
        shard: u32,
        /// As the experiment says.
        workers: u32,
    },
    /// Several shards cannot each draw a run id.
    #[error("an experiment with {workers} workers needs --run-id, the same for all of them")]
    RunId {
        /// As the experiment says.
        workers: u32,
    },
    /// A name leads nowhere.
    #[error("cannot find the proxy {address}: {source}; check --proxy")]
    Address {
        /// `HOST:PORT` as given.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// The proxy does not take the rules.
    #[error(
        "cannot put the rules at the proxy's control address {address}: {source}; start the proxy first or check --control"
    )]
    Rules {
        /// `HOST:PORT` as given.
        address: String,
        /// What went wrong.
        source: AskError,
    },
    /// The system has no thread or descriptor for the load.
    #[error("cannot start the load: {0}")]
    Start(io::Error),
    /// A fault of this program.
    #[error("the load crashed")]
    Crashed,
    /// The report cannot be written.
    #[error("cannot leave the report at {}: {source}; check --report", path.display())]
    Report {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

fn sentence(refusals: &[Refusal]) -> String {
    refusals.iter().map(Refusal::to_string).collect::<Vec<_>>().join("; ")
}
