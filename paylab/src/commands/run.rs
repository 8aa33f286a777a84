//! `paylab run`: starts the lab, sends the payments, judges the run and prints its outcome.

use std::{
    fmt::Display,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Instant,
};

use anstream::eprintln;
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use load_job::Progress;
use paylab_core::{
    outcome::{Outcome, Setting},
    plan::Plan,
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
    source::Source,
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

/// Runs the command: every experiment of the file, one after another, until a signal ends it. The worst result decides the exit
/// code.
///
/// # Errors
/// An experiment is invalid, the lab cannot do its work, or the outcome cannot be written.
pub fn run(options: &Options) -> anyhow::Result<Exit> {
    logs::start(&options.logs, "warn")?;
    let experiments = options.source.read_all()?;
    check_machine(&experiments, options)?;
    if let Some(file) = &options.junit {
        remove_old(file)?;
    }
    let (shutdown, mut outcomes) = (CancellationToken::new(), Vec::new());
    let only = experiments.len() == 1;
    for Experiment { resource, plan } in experiments {
        let setting = Setting {
            experiment: resource.metadata.name.unwrap_or_default(),
            // The other commands take a file with one experiment.
            file: options.source.named_file().filter(|_| only),
            concurrency: options.source.concurrency,
            ..Setting::default()
        };
        let outcome = measure_until(&plan, &options.database, setting, &shutdown)?;
        print(match options.output {
            Output::Json => json::outcome(&outcome)?,
            Output::Text => TextReport(&outcome).to_string(),
        })?;
        outcomes.push(outcome);
        if shutdown.is_cancelled() {
            break;
        }
    }
    if let Some(file) = &options.junit {
        let xml = junit::outcomes(&outcomes)?;
        fs::write(file, xml).with_context(|| format!("cannot write --junit {}", file.display()))?;
    }
    Ok(Exit::worst(outcomes.iter().map(|outcome| Exit::of(outcome.is_as_expected()))))
}

/// Removes the file of an earlier run, so that a pipeline never takes it for the outcome of a run that failed.
fn remove_old(junit: &Path) -> anyhow::Result<()> {
    match fs::remove_file(junit) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot write --junit {}", junit.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Prints a result on standard output. A reader that wants no more of it, such as `head`, is no error.
pub(crate) fn print(result: impl Display) -> anyhow::Result<()> {
    match writeln!(anstream::stdout(), "{result}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Runs a plan on this machine.
///
/// # Errors
/// The lab cannot do its work.
pub fn measure(plan: &Plan, database: &Database, setting: Setting) -> anyhow::Result<Outcome> {
    measure_until(plan, database, setting, &CancellationToken::new())
}

/// Runs a plan on this machine. A signal cancels the token and ends the load early, and the verdict is then `Inconclusive`.
fn measure_until(
    plan: &Plan,
    database: &Database,
    setting: Setting,
    shutdown: &CancellationToken,
) -> anyhow::Result<Outcome> {
    let begun = Instant::now();
    let run = draw_run_id()?;
    let lab = Lab::start(plan, &run, database)?;
    let progress: Vec<_> = (0..plan.client.workers).map(|_| Progress::default()).collect();
    let report = one_thread()?.block_on(async {
        let _signals = part::cancel_on_signal(shutdown.clone())?;
        tokio::select! {
            report = lab.measure(plan, &run, &progress, shutdown) => report,
            never = progress::show(&progress) => match never {},
        }
    });
    // The evidence is complete by now: an error of a part at its end changes no verdict.
    if let Err(error) = lab.stop() {
        eprintln!("paylab: {error:#}");
    }
    let report = report?;
    let setting = Setting { database: Some(database.to_string()), elapsed: Some(begun.elapsed()), ..setting };
    Ok(Outcome::of(plan, report, setting))
}

/// Refuses what a cluster can do and one machine cannot, before anything is run.
fn check_machine(experiments: &[Experiment], options: &Options) -> anyhow::Result<()> {
    for Experiment { plan, .. } in experiments {
        let Target::Ours(service) = plan.target;
        if service.replicas > 1 {
            let problem = format!("{} needs a cluster; one machine runs one service, so use 1", service.replicas);
            return Err(options.source.refuse("spec.service.replicas", problem).into());
        }
    }
    if let (Database::File(path), true) = (&options.database, experiments.len() > 1) {
        let problem = format!("{} can hold the ledger of one experiment only; use sqlite", path.display());
        return Err(options.source.refuse("--database", problem).into());
    }
    Ok(())
}
