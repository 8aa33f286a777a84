//! The job of one worker: reads the experiment, runs the worker's share, writes the report.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    time::Duration,
};

use paylab_experiment::{
    contract::{PROGRESS_MESSAGE, TERMINATION_MESSAGE_MAX},
    fate::Dice,
    file,
    payment::RunId,
    report::Report,
};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{error::Error, execute, load::Load, options::Options, sending::Progress};

/// Where Kubernetes reads a pod's termination message.
const TERMINATION_LOG: &str = "/dev/termination-log";
/// After this time the log first reports the progress.
const PROGRESS_AFTER: Duration = Duration::from_secs(1);
/// The pause between two reports of the progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// Runs one share of an experiment and returns its report, which is also written to the file that the options name.
///
/// # Errors
/// The experiment is refused, the proxy does not accept the rules, or the report cannot be written.
pub async fn run(options: Options, shutdown: CancellationToken) -> Result<Report, Error> {
    let load = prepare(&options).await?;
    let share = load.share();
    info!(run = %load.run, seed = load.plan.seed(), from = share.start, to = share.end, proxy = load.proxy, "load ready");
    let progress = Progress::default();
    let report = tokio::select! {
        report = execute(&load, &progress, &shutdown) => report?,
        never = log_progress(&progress) => match never {},
    };
    info!(
        attempts = report.attempts.total,
        acknowledged = report.payments.acknowledged,
        entries = report.entries,
        doubts = report.doubts.len(),
        "load done"
    );
    if let Some(path) = report_path(options.report) {
        write_report(&report, &path).await?;
    }
    Ok(report)
}

async fn prepare(options: &Options) -> Result<Load, Error> {
    let path = &options.experiment;
    let unreadable = |cause| Error::Unreadable { path: path.clone(), cause };
    let text = tokio::fs::read_to_string(path).await.map_err(unreadable)?;
    let run = options.run_id.clone().map_or_else(draw_run_id, Ok)?;
    let mut plan = file::parse(&text, run.seed()).map_err(Error::Refused)?.plan;
    if options.run_id.is_none() && plan.client.workers > 1 {
        return Err(Error::RunId { workers: plan.client.workers });
    }
    if let Some(seed) = options.seed {
        plan.dice = Dice::new(seed, &plan.faults);
    }
    Ok(Load {
        plan,
        run,
        proxy: options.proxy.clone(),
        control: options.control.clone(),
        service: options.service.clone(),
        shard: options.shard,
        lease: options.lease.duration(),
        patience: options.patience.duration(),
    })
}

/// A run id that no other run has.
fn draw_run_id() -> Result<RunId, Error> {
    uuid::Uuid::new_v4().to_string().parse().map_err(|_| Error::Crashed)
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
