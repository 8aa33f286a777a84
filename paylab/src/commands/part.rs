//! The parts alone, as the pods start them: with logs, one thread, and a clean end on a signal.

use clap::Args;
use paylab_core::fault::sampler::seed_of_run;
use tokio_util::sync::CancellationToken;

use crate::{
    exit::Exit,
    lab::{draw_run_id, one_thread},
    logs::{self, Logs},
    machine,
    signals::{self, Told},
    source::Source,
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

/// Runs one share of a load to its report, which is also printed on standard output.
///
/// # Errors
/// The experiment is invalid, the load cannot begin, or its report cannot be written.
pub fn load_job(options: Logged<load_job::options::Options>) -> anyhow::Result<Exit> {
    let Logged { part, logs } = options;
    let run = part.run_id.clone().map_or_else(draw_run_id, Ok)?;
    let seed = part.seed.and_then(|seed| i64::try_from(seed).ok());
    let source = Source { file: part.experiment.clone(), seed, concurrency: None };
    let plan = source.read_with(seed_of_run(&run))?.plan;
    serve(&logs, async |shutdown| {
        let report = load_job::run(part, run, plan, shutdown).await?;
        anstream::println!("{}", serde_json::to_string(&report)?);
        Ok(())
    })
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
