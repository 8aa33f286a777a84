//! The pod: reads the experiment, runs its share, leaves the report. What happens in between it must not know.

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

use crate::{Error, Load, Progress, execute, options::Options};

/// Where Kubernetes reads a pod's last words.
const TERMINATION_LOG: &str = "/dev/termination-log";
/// When the log first says how far the load is.
const PROGRESS_AFTER: Duration = Duration::from_secs(1);
/// And how often from then on.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// Runs one share of an experiment to its report, which is also left where the options say.
///
/// # Errors
/// The experiment is refused, the proxy takes no rules, or the report cannot be written.
pub async fn run(options: Options, shutdown: CancellationToken) -> Result<Report, Error> {
    let load = prepare(&options).await?;
    let share = load.share();
    info!(run = %load.run, seed = load.plan.seed(), from = share.start, to = share.end, proxy = load.proxy, "load ready");
    let progress = Progress::default();
    let report = tokio::select! {
        report = execute(&load, &progress, &shutdown) => report?,
        never = tell(&progress) => match never {},
    };
    info!(
        attempts = report.attempts.total,
        acknowledged = report.payments.acknowledged,
        entries = report.entries,
        doubts = report.doubts.len(),
        "load done"
    );
    if let Some(path) = report_path(options.report) {
        leave(&report, &path).await?;
    }
    Ok(report)
}

async fn prepare(options: &Options) -> Result<Load, Error> {
    let path = &options.experiment;
    let unreadable = |source| Error::Unreadable { path: path.clone(), source };
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

/// A name that no other run has.
fn draw_run_id() -> Result<RunId, Error> {
    uuid::Uuid::new_v4().to_string().parse().map_err(|_| Error::Crashed)
}

/// Says in the log how far the load is, until it is dropped.
async fn tell(progress: &Progress) -> Infallible {
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

async fn leave(report: &Report, path: &Path) -> Result<(), Error> {
    let json = report.to_json_within(TERMINATION_MESSAGE_MAX);
    let written = tokio::fs::write(path, json).await;
    written.map_err(|source| Error::Report { path: path.to_owned(), source })
}
