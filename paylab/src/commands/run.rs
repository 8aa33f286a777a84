//! `paylab run`: starts the lab, sends the payments, judges the run and prints its outcome.

use std::{path::PathBuf, sync::Arc, time::Instant};

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};
use load_job::Progress;
use paylab_contract::Contract;
use paylab_core::{
    outcome::{Outcome, Setting},
    plan::Plan,
    run_id::RunId,
    targets::Target,
};
use paylab_present::{json, sentence, text::TextReport};
use tokio_util::sync::CancellationToken;

use crate::{
    commands::{
        junit_file,
        progress::{self, Bar},
    },
    exit::Exit,
    lab::{Database, DatabaseParser, Lab, draw_run_id, one_thread},
    logs::{self, Logs},
    machine,
    output::{print, tell},
    signals::{self, Told},
    source::{Sourced, Sources},
    target,
};

/// The options of `paylab run`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Which experiments.
    #[command(flatten)]
    pub sources: Sources,
    /// Which service.
    #[command(flatten)]
    pub target: target::TargetOptions,
    /// Where the service keeps its ledger: sqlite (a temporary file), sqlite:FILE (a new file that is kept), or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "URL", default_value = "sqlite", allow_hyphen_values = true, value_parser = DatabaseParser)]
    pub database: Database,
    /// A report for people, or the resource's status for programs
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
    /// No progress bar, and instead of the report one line for each experiment: its name and its verdict. JSON stays as it is
    #[arg(long, short)]
    pub quiet: bool,
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

/// How a run is attended.
#[derive(Debug, Clone, Copy)]
struct Attendance<'a> {
    /// Names the experiment in messages.
    name: &'a str,
    /// Whether its progress is shown.
    bar: Bar,
    /// Ends the load early, and the verdict is then `Inconclusive`.
    shutdown: &'a CancellationToken,
}

/// An experiment that can be run on this machine.
#[derive(Debug)]
struct Runnable {
    sourced: Sourced,
    /// The contract of the user's own service with its secrets.
    contract: Option<Arc<Contract>>,
}

/// The service that a run pays.
#[derive(Debug, Clone, Copy)]
enum Paid<'a> {
    /// Paylab's own, with its ledger in this database.
    Ours(&'a Database),
    /// The user's own.
    Theirs(&'a Arc<Contract>),
}

impl Runnable {
    fn of(sourced: Sourced) -> anyhow::Result<Self> {
        Ok(Self { contract: sourced.contract()?, sourced })
    }
}

impl Paid<'_> {
    fn lab(self, plan: &Plan, run: &RunId) -> anyhow::Result<Lab> {
        match self {
            Self::Ours(database) => Lab::start(plan, run, database),
            Self::Theirs(contract) => Lab::in_front_of(contract.clone()),
        }
    }

    /// Where the ledger is, for the report.
    fn ledger(self) -> String {
        match self {
            Self::Ours(database) => database.to_string(),
            Self::Theirs(contract) => contract.origin.address.clone(),
        }
    }
}

/// Runs the command: every experiment of every file, one after another, until a signal ends it. The worst result decides the exit
/// code.
///
/// # Errors
/// An experiment is invalid, this machine cannot run it, or the lab cannot do its work.
pub fn run(options: &Options) -> anyhow::Result<Exit> {
    logs::start(&options.logs, "warn")?;
    let (places, startable) = options.target.prepare()?;
    let experiments = options.sources.clone().paying(places).read_all()?;
    check_machine(&experiments, options)?;
    let experiments = experiments.into_iter().map(Runnable::of).collect::<anyhow::Result<Vec<_>>>()?;
    if let Some(file) = &options.junit {
        junit_file::prepare(file)?;
    }
    let shutdown = CancellationToken::new();
    signals::listen(shutdown.clone(), Told::Person)?;
    let _started = startable.map(target::Startable::start).transpose()?;
    run_all(&experiments, options, &shutdown)
}

/// Runs the experiments and presents each outcome as soon as it is there, the last one after the files are written.
fn run_all(experiments: &[Runnable], options: &Options, shutdown: &CancellationToken) -> anyhow::Result<Exit> {
    let (mut outcomes, mut exits) = (Vec::new(), Vec::new());
    for Runnable { sourced: experiment, contract } in experiments {
        let label = experiment.label();
        let attendance = Attendance { name: &label, bar: options.bar(), shutdown };
        let setting = options.setting(experiment);
        let paid = contract.as_ref().map_or(Paid::Ours(&options.database), Paid::Theirs);
        let outcome = measure_until(&experiment.experiment.plan, paid, setting, attendance);
        let outcome = outcome.with_context(|| label.clone())?;
        exits.push(Exit::of(outcome.is_as_expected()));
        outcomes.push(outcome);
        if let (Some(file), true) = (&options.junit, outcomes.len() == experiments.len()) {
            exits.push(told(&label, junit_file::write(file, &outcomes)));
        }
        if let Some(outcome) = outcomes.last() {
            exits.push(told(&label, present(outcome, options)));
        }
        let left = experiments.len() - outcomes.len();
        if shutdown.is_cancelled() && left > 0 {
            tell(format_args!("{left} of {} experiments were not run", experiments.len()));
            exits.push(Exit::Inconclusive);
            break;
        }
    }
    Ok(Exit::worst(exits))
}

/// Prints an outcome. When that fails, the error has the verdict.
fn present(outcome: &Outcome, options: &Options) -> anyhow::Result<()> {
    let verdict = sentence::verdict(outcome);
    let printed = match (options.output, options.quiet) {
        (Output::Json, _) => print(json::outcome(outcome)?),
        (Output::Text, true) => print(format_args!("{}: {verdict}", outcome.setting.experiment)),
        (Output::Text, false) => print(TextReport(outcome)),
    };
    printed.map_err(|error| anyhow!("{error:#}; the verdict is: {verdict}"))
}

/// Tells why something could not be written. What comes after it goes on, because it may be the only place that keeps the verdict.
fn told(label: &str, written: anyhow::Result<()>) -> Exit {
    match written {
        Ok(()) => Exit::AsExpected,
        Err(error) => {
            tell(format_args!("{label}: {error:#}"));
            Exit::Unwritten
        }
    }
}

impl Options {
    fn setting(&self, experiment: &Sourced) -> Setting {
        Setting {
            experiment: experiment.experiment.resource.metadata.name.clone().unwrap_or_default(),
            // The other commands take a file with one experiment.
            file: experiment.file_alone(),
            concurrency: self.sources.concurrency,
            target: self.target.shown(),
            ..Setting::default()
        }
    }

    const fn bar(&self) -> Bar {
        if self.quiet { Bar::Hidden } else { Bar::Shown }
    }
}

/// Runs a plan on this machine.
///
/// # Errors
/// The lab cannot do its work.
pub fn measure(plan: &Plan, database: &Database, setting: Setting) -> anyhow::Result<Outcome> {
    let (name, shutdown) = (setting.experiment.clone(), CancellationToken::new());
    measure_until(plan, Paid::Ours(database), setting, Attendance { name: &name, bar: Bar::Shown, shutdown: &shutdown })
}

/// Runs a plan on this machine that pays a service of the user's own, as the contract says.
///
/// # Errors
/// The lab cannot do its work.
pub fn measure_theirs(plan: &Plan, contract: &Arc<Contract>, setting: Setting) -> anyhow::Result<Outcome> {
    let (name, shutdown) = (setting.experiment.clone(), CancellationToken::new());
    let attendance = Attendance { name: &name, bar: Bar::Hidden, shutdown: &shutdown };
    measure_until(plan, Paid::Theirs(contract), setting, attendance)
}

/// Runs a plan on this machine.
fn measure_until(plan: &Plan, paid: Paid<'_>, setting: Setting, attendance: Attendance<'_>) -> anyhow::Result<Outcome> {
    let begun = Instant::now();
    let run = draw_run_id()?;
    let lab = paid.lab(plan, &run)?;
    let progress: Vec<_> = (0..plan.client.workers).map(|_| Progress::default()).collect();
    let report = one_thread()?.block_on(async {
        tokio::select! {
            report = lab.measure(plan, &run, &progress, attendance.shutdown) => report,
            never = progress::show(&progress, attendance.bar) => match never {},
        }
    });
    // The evidence is complete by now: an error of a part at its end changes no verdict.
    if let Err(error) = lab.stop() {
        tell(format_args!("{}: {error:#}", attendance.name));
    }
    let report = report?;
    let setting = Setting { database: Some(paid.ledger()), elapsed: Some(begun.elapsed()), ..setting };
    Ok(Outcome::of(plan, report, setting))
}

/// Refuses what a cluster can do and this machine cannot, before anything is run.
fn check_machine(experiments: &[Sourced], options: &Options) -> anyhow::Result<()> {
    machine::raise_descriptor_limit();
    for sourced in experiments {
        let plan = &sourced.experiment.plan;
        if let Target::Ours(service) = &plan.target
            && service.replicas > 1
        {
            let problem = format!("{} needs a cluster; one machine runs one service, so use 1", service.replicas);
            return Err(sourced.refuse("spec.service.replicas", problem).into());
        }
        machine::check_descriptors(plan).map_err(|problem| sourced.refuse("spec.client.concurrency", problem))?;
    }
    if let (Database::File { url: _, path }, [_, second, ..]) = (&options.database, experiments) {
        let problem = format!("{} can hold the ledger of one experiment only; use sqlite", path.display());
        return Err(second.refuse("--database", problem).into());
    }
    Ok(())
}
