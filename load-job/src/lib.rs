//! The load: a payment client that retries, notes what it may believe of each payment, and at the end calls the other two
//! witnesses (the proxy's record, the service's ledger) before the judge.
//!
//! The way of the data: [`deliver`] makes the history, `gather` fetches the evidence, [`judge`] adds both up. This crate must
//! not know how the proxy breaks things or how the service books, and it opens no socket but to those two. It needs Unix.

mod answer;
mod ask;
mod chunks;
pub mod deliver;
mod error;
mod gather;
mod job;
mod lease;
pub mod options;
mod progress;
mod request;
mod wire;

use std::{ops::Range, time::Duration};

use paylab_experiment::{judge::judge, payment::RunId, plan::Plan, report::Report};
use tokio_util::sync::CancellationToken;
use tracing::info;

pub use crate::{
    ask::AskError,
    error::Error,
    job::run,
    progress::{Latency, Progress},
};

/// One share of an experiment, and where the other parts are (`HOST:PORT` each).
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// What to send and how.
    pub plan: Plan,
    /// Names the run.
    pub run: RunId,
    /// Where payments go.
    pub proxy: String,
    /// Where the proxy takes rules and shows its record.
    pub control: String,
    /// Where the payment service shows its ledger.
    pub service: String,
    /// Which of `plan.client.workers`, from 0.
    pub shard: u32,
    /// The proxy's rules lapse this long after the load is gone.
    pub lease: Duration,
    /// How long the proxy may be out of reach before the load begins.
    pub patience: Duration,
}

impl Load {
    /// The payments of this share; none for a shard that the plan has no worker for.
    #[must_use]
    pub const fn share(&self) -> Range<u64> {
        if self.shard < self.plan.client.workers { self.plan.share(self.shard, self.plan.client.workers) } else { 0..0 }
    }
}

/// Puts the rules, sends the payments, waits until nothing is in flight, and judges what the three witnesses say.
///
/// A load that stops early and evidence that is missing are in the report, not in the error.
///
/// # Errors
/// The shard does not exist, the proxy cannot be found or takes no rules, or the load cannot be started.
pub async fn execute(load: &Load, progress: &Progress, shutdown: &CancellationToken) -> Result<Report, Error> {
    let workers = load.plan.client.workers;
    if load.shard >= workers {
        return Err(Error::Shard { shard: load.shard, workers });
    }
    let _lease = lease::put_rules(load).await?;
    let history = deliver::deliver(load, progress, shutdown).await?;
    if let Some(stop) = history.stopped {
        info!(reason = stop.text(), "load stopped early");
    }
    let evidence = gather::gather(load).await;
    Ok(judge(&load.plan, &history, &evidence.record, &evidence.ledger))
}
