//! The parts alone, as the pods start them: with logs, one thread, and a clean end on a signal.

use std::{
    io::{self, Write as _},
    time::Instant,
};

use anyhow::anyhow;
use clap::Args;
use load_job::Reported;
use paylab_core::{
    chronicle::Chronicle,
    fault::sampler::seed_of_run,
    judge::report::Report,
    outcome::{Outcome, Setting},
    plan::Plan,
};
use paylab_part::evidence_log;
use paylab_present::{json, text::TextReport};
use paylab_resource::file::Experiment;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    commands::run::Output,
    evidence::encode_share,
    exit::Exit,
    guard,
    lab::{draw_run_id, one_thread},
    logs::{self, Logs},
    machine,
    output::print,
    signals::{self, Told},
    source::Source,
    target::{self, Places},
};

/// The options of a part, and how it logs.
#[derive(Debug, Clone, Args)]
pub struct Logged<T: Args> {
    /// The options of the part.
    #[command(flatten)]
    pub part: T,
    /// How it logs.
    #[command(flatten)]
    pub logs: Logs,
}

/// Runs a payment service until a signal ends it.
///
/// # Errors
/// It cannot start, or fails.
pub fn payment_service(options: Logged<payment_service::options::Options>) -> anyhow::Result<Exit> {
    if !guard::is_released() {
        return Ok(Exit::Inconclusive);
    }
    serve(&options.logs, async |shutdown| Ok(payment_service::run(options.part.clone(), shutdown).await?))
}

/// Runs a reset proxy until a signal ends it.
///
/// # Errors
/// It cannot start, or fails.
pub fn reset_proxy(options: Logged<reset_proxy::options::Options>) -> anyhow::Result<Exit> {
    let Logged { part, logs } = options;
    serve(&logs.or_toxiproxys(), async |shutdown| Ok(reset_proxy::run(part, shutdown).await?))
}

/// The options of `paylab load-job`.
#[derive(Debug, Clone, Args)]
pub struct LoadOptions {
    /// The options of the load, and how it logs.
    #[command(flatten)]
    pub load: Logged<load_job::options::Options>,
    /// The outcome for people, or as JSON for programs
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// Runs one share of a load, and concludes from its evidence as `paylab run` does. Of several workers, each concludes from its own share;
/// what only the whole run can show is left to whoever merges the reports.
///
/// # Errors
/// The experiment is invalid, or the load cannot be started.
pub fn load_job(options: LoadOptions) -> anyhow::Result<Exit> {
    let LoadOptions { load: Logged { part, logs }, output } = options;
    let run = part.run_id.clone().map_or_else(draw_run_id, Ok)?;
    let seed = part.seed.and_then(|seed| i64::try_from(seed).ok());
    let places = Places { service: part.target.clone(), ledger: None };
    let source = Source { file: part.experiment.clone(), seed, concurrency: None, places };
    let Experiment { resource, plan, contract } = source.read_with(seed_of_run(&run))?;
    target::check_place(resource.spec.target.as_ref()).map_err(|(field, problem)| source.refuse(field, problem))?;
    let contract = contract.map(target::with_secrets).transpose();
    let contract = contract.map_err(|problem| source.refuse("spec.target", problem))?;
    let (report_only, worker, evidence_bytes) = (part.report_only, part.worker, part.evidence_bytes);
    let begun = Instant::now();
    let mut reported = None;
    serve(&logs, async |shutdown| {
        reported = Some(load_job::run(part, run, plan.clone(), contract.clone(), shutdown).await?);
        Ok(())
    })?;
    let Reported { report, chronicle } = reported.ok_or_else(|| anyhow!("the load has left no report"))?;
    if let (Some(chronicle), Some(len_max)) = (chronicle, evidence_bytes) {
        log_evidence(chronicle, &report.run_id, len_max)?;
    }
    if report_only {
        print(serde_json::to_string(&report)?)?;
        return Ok(Exit::AsExpected);
    }
    let name = resource.metadata.name.unwrap_or_default();
    let (experiment, conclude): (_, fn(&Plan, Report, Setting) -> Outcome) = match plan.client.workers {
        1 => (name, Outcome::of),
        workers => (format!("{name}, worker {worker} of {workers}"), Outcome::of_share),
    };
    let setting = Setting { experiment, elapsed: Some(begun.elapsed()), ..Setting::default() };
    let outcome = conclude(&plan, report, setting);
    print(match output {
        Output::Json => json::outcome(&outcome)?,
        Output::Text => TextReport(&outcome).to_string(),
    })?;
    Ok(Exit::of(outcome.is_as_expected()))
}

/// Writes the evidence of a share to the log, from which the operator takes it.
fn log_evidence(chronicle: Chronicle, run_id: &str, len_max: usize) -> anyhow::Result<()> {
    let Some(evidence) = encode_share(chronicle, run_id, len_max)? else {
        warn!(len_max, "the evidence is not logged, because not even its counts fit");
        return Ok(());
    };
    let mut log = io::stderr().lock();
    for line in evidence_log::lines(run_id, &evidence) {
        writeln!(log, "{line}")?;
    }
    Ok(())
}

/// Reconciles experiments on a cluster until a signal ends it.
///
/// # Errors
/// The cluster cannot be reached, or another operator is the leader.
pub fn operator(options: Logged<operator::options::Options>) -> anyhow::Result<Exit> {
    let Logged { part, logs } = options;
    serve(&logs, async |shutdown| Ok(operator::run(part, shutdown).await?))
}

/// Starts logging and runs a part until it ends, or until a signal ends it.
///
/// # Errors
/// Those of the part.
pub(crate) fn serve(
    logs: &Logs,
    part: impl AsyncFnOnce(CancellationToken) -> anyhow::Result<()>,
) -> anyhow::Result<Exit> {
    let shutdown = begin(logs)?;
    one_thread()?.block_on(part(shutdown))?;
    Ok(Exit::AsExpected)
}

/// What comes before every part: logs, signals, and as many file descriptors as the system allows. Returns what a signal cancels.
///
/// # Errors
/// The signals cannot be listened to.
pub(crate) fn begin(logs: &Logs) -> anyhow::Result<CancellationToken> {
    logs::start(logs, "info")?;
    machine::raise_descriptor_limit();
    let shutdown = CancellationToken::new();
    signals::listen(shutdown.clone(), Told::Log)?;
    Ok(shutdown)
}
