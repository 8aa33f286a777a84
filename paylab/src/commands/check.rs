//! `paylab check`: the contract of the user's own service proves itself, step by step, on a path without faults.

use std::{convert::Infallible, time::Duration};

use anyhow::anyhow;
use clap::Args;
use load_job::{
    Load,
    check::{self, Extent, Step, StepResult},
};

use paylab_core::duration_text::DurationText;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    exit::{Exit, Misuse},
    lab::{draw_run_id, one_thread},
    logs::{self, Logs},
    output::{print, tell as tell_person},
    signals::{self, Told},
    source::Source,
    target,
};

/// How often a check that waits says so.
const WAIT_TOLD_EVERY: Duration = Duration::from_secs(5);

/// The options of `paylab check`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Which experiment.
    #[command(flatten)]
    pub source: Source,
    /// Which service.
    #[command(flatten)]
    pub target: target::TargetOptions,
    /// Logs of the parts
    #[command(flatten)]
    pub logs: Logs,
}

/// Runs the command.
///
/// # Errors
/// The experiment is invalid, or the contract does not hold.
pub fn check(options: &Options) -> anyhow::Result<Exit> {
    logs::start(&options.logs, "warn")?;
    let shutdown = CancellationToken::new();
    signals::listen(shutdown.clone(), Told::Log)?;
    let (places, startable) = options.target.prepare()?;
    let source = options.source.clone().paying(places);
    let experiment = source.read()?;
    let Some(contract) = experiment.contract else {
        let problem = "is absent; only the contract of your own service can be checked";
        return Err(source.refuse("spec.target", problem.to_owned()).into());
    };
    target::check_place(experiment.resource.spec.target.as_ref())
        .map_err(|(field, problem)| source.refuse(field, problem))?;
    let contract = target::with_secrets(contract).map_err(|problem| source.refuse("spec.target", problem))?;
    let _started = startable.map(|startable| startable.start(&shutdown)).transpose()?;
    let within = contract.settle.within;
    let address = contract.origin.address.clone();
    let tls = Load::tls_of(Some(&contract)).map_err(|problem| source.refuse("spec.target", problem.to_string()))?;
    let load = Load {
        plan: experiment.plan,
        run: draw_run_id()?,
        proxy: address.clone(),
        control: address.clone(),
        service: address,
        contract: Some(contract.clone()),
        tls,
        replicas: Vec::new(),
        worker: 0,
        lease: Duration::ZERO,
        patience: Duration::ZERO,
    };
    let mut printed = Ok(());
    let tell = |step: &Step| {
        if printed.is_ok() {
            printed = print(line(step));
        }
    };
    let steps = one_thread()?.block_on(async {
        tokio::select! {
            steps = check::check(&load, &contract, Extent::Full, tell) => steps.map(Some),
            () = shutdown.cancelled() => Ok(None),
            never = tell_that_it_waits(&within) => match never {},
        }
    })?;
    printed?;
    let Some(steps) = steps else {
        tell_person("interrupted; nothing is said about the contract");
        return Ok(Exit::Inconclusive);
    };
    let failed = steps.iter().find_map(|step| match &step.result {
        StepResult::Fails(doubt, hint) => Some((doubt, hint)),
        StepResult::Holds | StepResult::Told => None,
    });
    match failed {
        None => {
            print(
                "The contract holds: what is paid is found in the ledger, and a payment that is made twice is found twice.",
            )?;
            Ok(Exit::AsExpected)
        }
        Some((doubt, hint)) => Err(anyhow!(Misuse(format!("the contract does not hold ({doubt:?}): {hint}")))),
    }
}

/// Says now and then that a check waits, and for what.
async fn tell_that_it_waits(within: &DurationText) -> Infallible {
    loop {
        sleep(WAIT_TOLD_EVERY).await;
        tell_person(format_args!(
            "waiting for the service or for its ledger (target.ledger.settle.within is {within})"
        ));
    }
}

/// One step on one line.
fn line(step: &Step) -> String {
    let Step { paid, answered, ledger, result } = step;
    let mark = match result {
        StepResult::Holds => "holds",
        StepResult::Told => "-",
        StepResult::Fails(..) => "FAILS",
    };
    format!("  {mark:<7}{paid}\n         answer: {answered}\n         ledger: {ledger}")
}
