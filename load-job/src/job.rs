//! The job of one worker: runs the worker's share of a plan, logs the progress, writes the report.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use paylab_contract::Contract;
use paylab_core::{chronicle::Chronicle, judge::report::Report, plan::Plan, run_id::RunId};
use paylab_part::contract::{PROGRESS_MESSAGE, TERMINATION_MESSAGE_MAX};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{chronicle::Telling, error::Error, execute_judging, load::Load, options::Options, sending::Progress};

/// Where Kubernetes reads a pod's termination message.
const TERMINATION_LOG: &str = "/dev/termination-log";
/// After this time the log first reports the progress.
const PROGRESS_AFTER: Duration = Duration::from_secs(1);
/// The pause between two reports of the progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// What a share has come to.
#[derive(Debug)]
pub struct Reported {
    /// The report, which is also written to the file that the options name.
    pub report: Report,
    /// The chronicle; `None`: the options do not ask for it, or the load was told to stop before it was written.
    pub chronicle: Option<Chronicle>,
}

/// Runs one share of a plan. The report is written before the chronicle is begun, so that no problem with the chronicle costs the verdict.
///
/// # Errors
/// The proxy does not accept the rules, or the report cannot be written.
pub async fn run(
    options: Options,
    run: RunId,
    plan: Plan,
    contract: Option<Arc<Contract>>,
    shutdown: CancellationToken,
) -> Result<Reported, Error> {
    if options.run_id.is_none() && plan.client.workers > 1 {
        return Err(Error::RunId { workers: plan.client.workers });
    }
    let tls = Load::tls_of(contract.as_deref())?;
    let load = Load {
        plan,
        run,
        proxy: options.proxy,
        control: options.control,
        service: options.service,
        contract,
        tls,
        replicas: Vec::new(),
        worker: options.worker,
        lease: options.lease.duration(),
        patience: options.patience.duration(),
    };
    let share = load.share();
    info!(run = %load.run, seed = load.plan.seed(), from = share.start, to = share.end, proxy = load.proxy, "load ready");
    let progress = Progress::default();
    let telling = if options.evidence_bytes.is_some() { Telling::Excerpt } else { Telling::Verdict };
    let judged = tokio::select! {
        judged = execute_judging(&load, &progress, &shutdown, telling) => judged?,
        never = log_progress(&progress) => match never {},
    };
    let report = &judged.report;
    info!(
        attempts = report.attempts.total,
        acknowledged = report.payments.acknowledged,
        entries = report.entries(),
        doubts = report.doubts.len(),
        "load done"
    );
    if let Some(path) = report_path(options.report) {
        write_report(report, &path).await?;
    }
    let chronicle = match telling {
        Telling::Verdict => None,
        Telling::Chronicle | Telling::Excerpt => shutdown.run_until_cancelled(judged.chronicle(&load)).await,
    };
    Ok(Reported { report: judged.report, chronicle })
}

/// Reports the progress in the log until it is dropped.
async fn log_progress(progress: &Progress) -> Infallible {
    let mut ticks = interval_at(Instant::now() + PROGRESS_AFTER, PROGRESS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        info!(
            payments = progress.payments(),
            ended = progress.ended(),
            acknowledged = progress.acknowledged(),
            attempts = progress.attempts(),
            unreached = progress.unreached(),
            "{PROGRESS_MESSAGE}"
        );
    }
}

fn report_path(asked: Option<PathBuf>) -> Option<PathBuf> {
    let pod = Path::new(TERMINATION_LOG);
    asked.or_else(|| pod.exists().then(|| pod.to_owned()))
}

async fn write_report(report: &Report, path: &Path) -> Result<(), Error> {
    let json = report.to_json_within(TERMINATION_MESSAGE_MAX);
    let written = tokio::fs::write(path, json).await;
    written.map_err(|cause| Error::Report { path: path.to_owned(), cause })
}
