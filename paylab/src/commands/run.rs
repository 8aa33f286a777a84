//! `paylab run`: starts the lab, sends the payments, judges the run and prints its outcome.

use std::{path::PathBuf, sync::Arc, time::Instant};

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};
use load_job::{Progress, Telling};
use paylab_contract::Contract;
use paylab_core::{
    chronicle::Chronicle,
    outcome::{Outcome, Setting},
    plan::Plan,
    run_id::RunId,
    targets::Target,
};
use paylab_present::{json, sentence, text::TextReport};
use tokio_util::sync::CancellationToken;

use crate::{
    commands::{
        progress::{self, Bar},
        report_files::ReportFiles,
    },
    evidence::{self, Kept, Places, yaml_of},
    exit::Exit,
    lab::{Database, DatabaseParser, Lab, draw_run_id, one_thread},
    logs::{self, Logs},
    machine,
    output::{print, tell},
    series::{UntilOptions, measure_series},
    signals::{self, Told},
    source::{Sourced, Sources},
    supervisor::OrdersTo,
    target::{self, TheirProcess},
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
    /// Also keep the evidence of the run in this directory, which must be new or empty: `paylab report` and `paylab explain` read it
    #[arg(long, value_name = "DIR", conflicts_with = "until_bound")]
    pub evidence: Option<PathBuf>,
    /// Until when.
    #[command(flatten)]
    pub until: UntilOptions,
    /// Which files.
    #[command(flatten)]
    pub files: ReportFiles,
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
pub(crate) struct Attendance<'a> {
    /// Names the experiment in messages.
    pub(crate) name: &'a str,
    /// Whether its progress is shown.
    pub(crate) bar: Bar,
    /// Ends the load early, and the verdict is then `Inconclusive`.
    pub(crate) shutdown: &'a CancellationToken,
    /// What is to be known about it.
    pub(crate) telling: Telling,
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
pub(crate) enum Paid<'a> {
    /// Paylab's own, with its ledger in this database.
    Ours(&'a Database),
    /// The user's own, and who can kill it.
    Theirs(&'a Arc<Contract>, Option<&'a OrdersTo>),
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
            Self::Theirs(contract, orders_to) => Lab::in_front_of(contract.clone(), orders_to.cloned()),
        }
    }

    /// Where the ledger is, for the report.
    pub(crate) fn ledger(self) -> String {
        match self {
            Self::Ours(database) => database.to_string(),
            Self::Theirs(contract, _) => contract.origin.address.clone(),
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
    options.until.check(&options.database)?;
    let experiments = experiments.into_iter().map(Runnable::of).collect::<anyhow::Result<Vec<_>>>()?;
    let names: Vec<_> = experiments.iter().map(|experiment| experiment.sourced.name()).collect();
    let places = options.evidence.as_ref().map(|directory| Places::prepare(directory, &names)).transpose()?;
    options.files.prepare(&[], options.sources.files.iter().map(PathBuf::as_path))?;
    let shutdown = CancellationToken::new();
    signals::listen(shutdown.clone(), Told::Person)?;
    let plans = experiments.iter().map(|experiment| &experiment.sourced.experiment.plan);
    let started = startable.map(|startable| startable.start_for(plans, &shutdown)).transpose()?;
    let orders_to = started.as_ref().and_then(TheirProcess::orders_to);
    run_all(&experiments, options, (places.as_ref(), orders_to.as_ref()), &shutdown)
}

/// Runs the experiments and presents each outcome as soon as it is there, the last one after the files are written.
fn run_all(
    experiments: &[Runnable],
    options: &Options,
    (places, orders_to): (Option<&Places>, Option<&OrdersTo>),
    shutdown: &CancellationToken,
) -> anyhow::Result<Exit> {
    let (mut runs, mut exits) = (Vec::new(), Vec::new());
    for (index, Runnable { sourced: experiment, contract }) in experiments.iter().enumerate() {
        let label = experiment.label();
        let attendance = Attendance { name: &label, bar: options.bar(), shutdown, telling: options.telling() };
        let place = places.and_then(|places| places.of(index));
        let evidence = place.map(|place| place.display().to_string());
        let setting = Setting { evidence, ..options.setting(experiment) };
        let paid = match contract {
            None => Paid::Ours(&options.database),
            Some(contract) => Paid::Theirs(contract, orders_to),
        };
        let outcome = measure_series(&experiment.experiment.plan, paid, setting, attendance, &options.until, None);
        let (outcome, chronicle) = outcome.with_context(|| label.clone())?;
        exits.push(Exit::of(outcome.is_as_expected()));
        let yaml = yaml_of(&experiment.experiment.resource, outcome.plan.seed()).with_context(|| label.clone())?;
        let run = Kept { outcome, chronicle, yaml, comparison: None };
        if let Some(place) = place {
            exits.push(told(&label, evidence::write(place, &run)));
        }
        runs.push(run);
        if runs.len() == experiments.len() {
            exits.push(told(&label, options.files.write(&runs)));
        }
        if let Some(run) = runs.last() {
            exits.push(told(&label, present(&run.outcome, options)));
        }
        let left = experiments.len() - runs.len();
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
        (Output::Text, true) => print(format_args!("{}: {verdict}", outcome.setting.experiment)),
        (output, _) => print(output.of(outcome)?),
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

impl Output {
    /// An outcome in this form.
    pub(crate) fn of(self, outcome: &Outcome) -> anyhow::Result<String> {
        Ok(match self {
            Self::Text => TextReport(outcome).to_string(),
            Self::Json => json::outcome(outcome)?,
        })
    }
}

impl Options {
    /// A chronicle is written only if somebody will read it.
    fn telling(&self) -> Telling {
        if self.evidence.is_none() && self.files.is_none() { Telling::Verdict } else { Telling::Chronicle }
    }

    fn setting(&self, experiment: &Sourced) -> Setting {
        Setting {
            experiment: experiment.name(),
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
    let attendance = Attendance { name: &name, bar: Bar::Shown, shutdown: &shutdown, telling: Telling::Verdict };
    Ok(measure_until(plan, Paid::Ours(database), setting, attendance)?.0)
}

/// Runs a plan on this machine that pays a service of the user's own, as the contract says.
///
/// # Errors
/// The lab cannot do its work.
pub fn measure_theirs(plan: &Plan, contract: &Arc<Contract>, setting: Setting) -> anyhow::Result<Outcome> {
    let (name, shutdown) = (setting.experiment.clone(), CancellationToken::new());
    let attendance = Attendance { name: &name, bar: Bar::Hidden, shutdown: &shutdown, telling: Telling::Verdict };
    Ok(measure_until(plan, Paid::Theirs(contract, None), setting, attendance)?.0)
}

/// Runs a plan on this machine.
///
/// # Errors
/// The lab cannot do its work.
pub(crate) fn measure_until(
    plan: &Plan,
    paid: Paid<'_>,
    setting: Setting,
    attendance: Attendance<'_>,
) -> anyhow::Result<(Outcome, Chronicle)> {
    let begun = Instant::now();
    let run = draw_run_id()?;
    let lab = paid.lab(plan, &run)?;
    let progress: Vec<_> = (0..plan.client.workers).map(|_| Progress::default()).collect();
    let told = one_thread()?.block_on(async {
        tokio::select! {
            told = lab.measure_telling(plan, &run, &progress, attendance.shutdown, attendance.telling) => told,
            never = progress::show(&progress, attendance.bar) => match never {},
        }
    });
    // The evidence is complete by now: an error of a part at its end changes no verdict.
    if let Err(error) = lab.stop() {
        tell(format_args!("{}: {error:#}", attendance.name));
    }
    let (report, chronicle) = told?;
    let setting = Setting { database: Some(paid.ledger()), elapsed: Some(begun.elapsed()), ..setting };
    Ok((Outcome::of(plan, report, setting), chronicle))
}

/// Refuses what a cluster can do and this machine cannot, before anything is run.
fn check_machine(experiments: &[Sourced], options: &Options) -> anyhow::Result<()> {
    machine::raise_descriptor_limit();
    for sourced in experiments {
        let plan = &sourced.experiment.plan;
        if let (Target::Ours(service), false) = (&plan.target, matches!(options.database, Database::Postgres(_)))
            && service.replicas > 1
        {
            let problem = format!(
                "{} replicas need one database that all of them can reach; add --database postgres://..., or use 1",
                service.replicas
            );
            return Err(sourced.refuse("spec.service.replicas", problem).into());
        }
        options.target.check_kills(plan).map_err(|(field, problem)| sourced.refuse(&field, problem))?;
        machine::check_descriptors(plan).map_err(|problem| sourced.refuse("spec.client.concurrency", problem))?;
    }
    if let (Database::File { url: _, path }, [_, second, ..]) = (&options.database, experiments) {
        let problem = format!("{} can hold the ledger of one experiment only; use sqlite", path.display());
        return Err(second.refuse("--database", problem).into());
    }
    Ok(())
}
