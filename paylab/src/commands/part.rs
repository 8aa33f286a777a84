//! The parts alone, as the pods start them: logs, a signal that ends them cleanly, one thread.

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    exit::Exit,
    lab::one_thread,
    logs::{self, Logs},
};

/// A part's options and how it logs.
#[derive(Debug, Clone, Args)]
pub struct Logged<T: Args> {
    /// The part's own.
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

/// Runs one share of a load to its report, which goes to standard output too.
///
/// # Errors
/// It cannot begin, or its report cannot be left.
pub fn load_job(options: Logged<load_job::options::Options>) -> anyhow::Result<Exit> {
    serve(&options.logs, async |shutdown| {
        let report = load_job::run(options.part.clone(), shutdown).await?;
        anstream::println!("{}", serde_json::to_string(&report)?);
        Ok(())
    })
}

/// Reconciles experiments on a cluster until a signal ends it.
///
/// # Errors
/// The cluster cannot be reached, or another operator leads.
pub fn operator(options: Logged<operator::options::Options>) -> anyhow::Result<Exit> {
    let Logged { part, logs } = options;
    serve(&logs, async |shutdown| Ok(operator::run(part, shutdown).await?))
}

/// Starts logging and runs a part until it ends, or until a signal ends it.
///
/// # Errors
/// The part's own.
pub(crate) fn serve(
    logs: &Logs,
    part: impl AsyncFnOnce(CancellationToken) -> anyhow::Result<()>,
) -> anyhow::Result<Exit> {
    logs::start(logs, "info")?;
    one_thread()?.block_on(async {
        let shutdown = CancellationToken::new();
        let _signals = cancel_on_signal(shutdown.clone())?;
        part(shutdown).await
    })?;
    Ok(Exit::AsExpected)
}

/// Cancels a token on SIGTERM or SIGINT, for as long as what it returns is kept.
///
/// # Errors
/// The signals cannot be listened to.
pub(crate) fn cancel_on_signal(shutdown: CancellationToken) -> anyhow::Result<AbortOnDropHandle<()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(AbortOnDropHandle::new(tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        shutdown.cancel();
    })))
}
