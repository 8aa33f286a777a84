//! `paylab run`: starts the lab, sends the payments, prints the report.

use std::time::{Duration, Instant};

use anstream::{eprintln, println};
use clap::{Args, ValueEnum};
use load_job::Progress;
use paylab_experiment::{
    file::Experiment,
    payment::RunId,
    plan::Plan,
    predict::Prediction,
    report::Report,
    status::ChaosExperimentStatus,
    verdict::{Conclusion, conclude},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    exit::Exit,
    lab::{Database, DatabaseParser, Lab, one_thread},
    logs::{self, Logs},
    parts, progress,
    source::{Refused, Source},
    terminal,
};

/// What `paylab run` is told.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Which experiment.
    #[command(flatten)]
    pub source: Source,
    /// Where the service keeps its ledger: sqlite (a temporary file), sqlite:FILE (a new file that stays), or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "URL", default_value = "sqlite", allow_hyphen_values = true, value_parser = DatabaseParser)]
    pub database: Database,
    /// A report for people, or the resource's status for machines
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
    /// Logs of the parts
    #[command(flatten)]
    pub logs: Logs,
}

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Text,
    /// One JSON object
    Json,
}

/// A run, judged.
#[derive(Debug)]
pub struct Measured {
    /// What the judge has counted.
    pub report: Report,
    /// What the seed says.
    pub prediction: Prediction,
    /// What it comes to.
    pub conclusion: Conclusion,
    /// How long it took, from the first part's start to the verdict.
    pub took: Duration,
}

/// Runs the command.
///
/// # Errors
/// The experiment is refused, or the lab cannot do its work.
pub fn run(options: &Options) -> anyhow::Result<Exit> {
    logs::start(&options.logs, "warn")?;
    let Experiment { resource, plan } = options.source.read()?;
    check_machine(&plan, options)?;
    let measured = measure(&plan, &options.database)?;
    match options.output {
        Output::Json => {
            let Measured { report, prediction, conclusion, .. } = &measured;
            let status = ChaosExperimentStatus::judged(&plan, report, prediction, conclusion);
            println!("{}", serde_json::to_string_pretty(&status)?);
        }
        Output::Text => {
            let name = resource.metadata.name.unwrap_or_default();
            let report = terminal::Report { name: &name, plan: &plan, measured: &measured, options };
            println!("{report}");
        }
    }
    Ok(Exit::of(measured.conclusion.is_as_expected(plan.expect)))
}

/// Runs a plan on this machine. `Ctrl-C` ends the load early, and the verdict is then `Inconclusive`.
///
/// # Errors
/// The lab cannot do its work.
pub fn measure(plan: &Plan, database: &Database) -> anyhow::Result<Measured> {
    let begun = Instant::now();
    let run = draw_run_id()?;
    let lab = Lab::start(plan, &run, database)?;
    let progress: Vec<_> = (0..plan.client.workers).map(|_| Progress::default()).collect();
    let shutdown = CancellationToken::new();
    let report = one_thread()?.block_on(async {
        let _signals = parts::cancel_on_signal(shutdown.clone())?;
        tokio::select! {
            report = lab.measure(plan, &run, &progress, &shutdown) => report,
            never = progress::show(&progress) => match never {},
        }
    });
    // Evidence first: what a part says at its end changes no verdict.
    if let Err(error) = lab.stop() {
        eprintln!("paylab: {error:#}");
    }
    let report = report?;
    let prediction = Prediction::of(plan, 0..plan.count);
    let conclusion = conclude(plan, &report, &prediction);
    Ok(Measured { report, prediction, conclusion, took: begun.elapsed() })
}

/// What a cluster can do and one machine cannot.
fn check_machine(plan: &Plan, options: &Options) -> Result<(), Refused> {
    if plan.service.replicas > 1 {
        let fault = format!("{} needs a cluster; one machine runs one service, so use 1", plan.service.replicas);
        return Err(options.source.refuse("spec.service.replicas", fault));
    }
    Ok(())
}

pub(crate) fn draw_run_id() -> anyhow::Result<RunId> {
    Ok(Uuid::new_v4().simple().to_string().parse()?)
}
