//! `paylab run`: starts the lab, sends the payments, judges the run and prints its outcome.

use std::{fs, path::PathBuf, time::Instant};

use anstream::{eprintln, println};
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use load_job::Progress;
use paylab_core::{
    outcome::{Outcome, Setting},
    plan::Plan,
    prediction::Prediction,
    targets::Target,
};
use paylab_present::{json, junit, text::TextReport};
use paylab_resource::file::Experiment;
use tokio_util::sync::CancellationToken;

use crate::{
    commands::{part, progress},
    exit::Exit,
    lab::{Database, DatabaseParser, Lab, draw_run_id, one_thread},
    logs::{self, Logs},
    source::{InvalidExperiment, Source},
};

/// The options of `paylab run`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Which experiments.
    #[command(flatten)]
    pub source: Source,
    /// Where the service keeps its ledger: sqlite (a temporary file), sqlite:FILE (a new file that is kept), or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "URL", default_value = "sqlite", allow_hyphen_values = true, value_parser = DatabaseParser)]
    pub database: Database,
    /// A report for people, or the resource's status for programs
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
    /// Also write the outcome as JUnit XML into this file, for a pipeline
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
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

/// Runs the command: every experiment of the file, one after another. The worst result decides the exit code.
///
/// # Errors
/// An experiment is invalid, the lab cannot do its work, or the outcome cannot be written.
pub fn run(options: &Options) -> anyhow::Result<Exit> {
    logs::start(&options.logs, "warn")?;
    let experiments = options.source.read_all()?;
    for Experiment { plan, .. } in &experiments {
        check_machine(plan, options)?;
    }
    let mut outcomes = Vec::new();
    for Experiment { resource, plan } in experiments {
        let setting = Setting {
            experiment: resource.metadata.name.unwrap_or_default(),
            file: options.source.named_file(),
            concurrency: options.source.concurrency,
            ..Setting::default()
        };
        let outcome = measure(&plan, &options.database, setting)?;
        match options.output {
            Output::Json => println!("{}", json::outcome(&outcome)?),
            Output::Text => println!("{}", TextReport(&outcome)),
        }
        outcomes.push(outcome);
    }
    if let Some(file) = &options.junit {
        let xml = junit::outcomes(&outcomes)?;
        fs::write(file, xml).with_context(|| format!("cannot write --junit {}", file.display()))?;
    }
    Ok(Exit::worst(outcomes.iter().map(|outcome| Exit::of(outcome.is_as_expected()))))
}

/// Runs a plan on this machine. `Ctrl-C` ends the load early, and the verdict is then `Inconclusive`.
///
/// # Errors
/// The lab cannot do its work.
pub fn measure(plan: &Plan, database: &Database, setting: Setting) -> anyhow::Result<Outcome> {
    let begun = Instant::now();
    let run = draw_run_id()?;
    let lab = Lab::start(plan, &run, database)?;
    let progress: Vec<_> = (0..plan.client.workers).map(|_| Progress::default()).collect();
    let shutdown = CancellationToken::new();
    let report = one_thread()?.block_on(async {
        let _signals = part::cancel_on_signal(shutdown.clone())?;
        tokio::select! {
            report = lab.measure(plan, &run, &progress, &shutdown) => report,
            never = progress::show(&progress) => match never {},
        }
    });
    // The evidence is complete by now: an error of a part at its end changes no verdict.
    if let Err(error) = lab.stop() {
        eprintln!("paylab: {error:#}");
    }
    let report = report?;
    let prediction = Prediction::of(plan, 0..plan.count);
    let setting = Setting { database: Some(database.to_string()), elapsed: Some(begun.elapsed()), ..setting };
    Ok(Outcome::of(plan, report, prediction, setting))
}

/// Refuses what a cluster can do and one machine cannot.
fn check_machine(plan: &Plan, options: &Options) -> Result<(), InvalidExperiment> {
    let Target::Ours(service) = plan.target;
    if service.replicas > 1 {
        let problem = format!("{} needs a cluster; one machine runs one service, so use 1", service.replicas);
        return Err(options.source.refuse("spec.service.replicas", problem));
    }
    Ok(())
}
