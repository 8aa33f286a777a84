//! `paylab gauntlet`: runs a service under every nemesis and prints one table.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Instant,
};

use clap::{Args, ValueEnum};
use load_job::Telling;
use paylab_core::targets::ours::Dedup;
use paylab_present::gauntlet::{Cell, Finding, Gauntlet, Row, Smallest, html, json, junit, markdown, text::TextTable};
use paylab_resource::nemesis::{ALL, GAUNTLET_LABEL, Nemesis, Subject};
use tokio_util::sync::CancellationToken;

use crate::{
    commands::{
        progress::Bar,
        report_files::{ReportFiles, ReportForm},
    },
    exit::{Exit, Misuse},
    gauntlet::{Attended, Done, Planned, Wanted, emit, run_all, smallest},
    lab::{Database, DatabaseParser},
    logs::{self, Logs},
    machine,
    output::{print, tell},
    series::UntilOptions,
    signals::{self, Told},
    source::{Source, argument, drawn_seed},
    target::{self, Places, TheirProcess},
};

/// The seed of Paylab's own modes.
const OUR_SEED: i64 = 42;
/// How many payments of each cell Paylab's own modes get: enough for what depends on a race to be seen.
const OUR_PAYMENTS: i64 = 200;

/// The options of `paylab gauntlet`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The experiment's file, whose faults each nemesis replaces; - reads standard input. Without one, Paylab's own eight modes
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Which nemeses, by their names
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = nemesis)]
    pub only: Vec<&'static Nemesis>,
    /// Payments of each cell, instead of the file's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
    pub payments: Option<i64>,
    /// The seed that decides which attempts meet which faults, instead of the file's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub seed: Option<i64>,
    /// The number of payments in flight, instead of the file's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=1024))]
    pub concurrency: Option<i32>,
    /// Which service.
    #[command(flatten)]
    pub target: target::TargetOptions,
    /// Where Paylab's own service keeps its ledgers: sqlite (temporary files), or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "URL", default_value = "sqlite", allow_hyphen_values = true, value_parser = DatabaseParser)]
    pub database: Database,
    /// Until when each cell is run.
    #[command(flatten)]
    pub until: UntilOptions,
    /// Where the smallest run that shows the first broken nemesis of FILE is written. By default it has the name of its experiment, in the working
    /// directory
    #[arg(long, value_name = "FILE")]
    pub smallest: Option<PathBuf>,
    /// The form of the table
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    pub output: Form,
    /// Runs nothing, and writes the experiments into this directory, one file for each cell, for `paylab run` and `kubectl apply`
    #[arg(long, value_name = "DIR", conflicts_with_all = ["target", "target_command", "ledger_url"])]
    pub emit: Option<PathBuf>,
    /// Runs nothing, and prints the name of every nemesis and what it imitates
    #[arg(long, exclusive = true)]
    pub list: bool,
    /// Which files.
    #[command(flatten)]
    pub files: ReportFiles,
    /// Nothing on standard error while it runs
    #[arg(long, short)]
    pub quiet: bool,
    /// Logs of the parts
    #[command(flatten)]
    pub logs: Logs,
}

/// The form of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people
    Text,
    /// One JSON object
    Json,
    /// For a pull request or the summary of a job
    Markdown,
    /// One page that loads nothing
    Html,
    /// For a pipeline that reads JUnit XML
    Junit,
}

/// Runs the command.
///
/// # Errors
/// The file is invalid, this machine cannot run it, or the lab cannot do its work.
pub fn gauntlet(options: &Options) -> anyhow::Result<Exit> {
    if options.list {
        return list();
    }
    logs::start(&options.logs, "warn")?;
    if let Database::File { url: _, path } = &options.database {
        let problem = format!("{} can hold the ledger of one experiment only; use sqlite", path.display());
        return Err(Misuse(format!("--database: {problem}")).into());
    }
    options.until.check(&options.database)?;
    let (places, startable) = options.target.prepare()?;
    let (subjects, contract) = options.subjects(places)?;
    let cells = options.cells(&subjects, contract.as_ref());
    if let Some(directory) = &options.emit {
        return write(directory, &cells, &subjects[0].gauntlet);
    }
    let smallest: Vec<_> = options.smallest.iter().map(|file| ("--smallest", file.as_path())).collect();
    options.files.prepare(&smallest, options.file.as_deref())?;
    machine::raise_descriptor_limit();
    let shutdown = CancellationToken::new();
    signals::listen(shutdown.clone(), Told::Person)?;
    let plans = cells.iter().filter_map(|cell| cell.plan.as_ref().ok());
    let started = startable.map(|startable| startable.start_for(plans, &shutdown)).transpose()?;
    let orders_to = started.as_ref().and_then(TheirProcess::orders_to);
    let begun = Instant::now();
    let attended = Attended {
        database: &options.database,
        shutdown: &shutdown,
        bar: options.bar(),
        telling: Telling::Verdict,
        orders_to: orders_to.as_ref(),
        until: &options.until,
    };
    let done = run_all(&cells, attended);
    let gauntlet = Gauntlet {
        name: subjects[0].gauntlet.clone(),
        claim: subjects[0].base.spec.claim.name(),
        nemeses: options.nemeses(),
        elapsed: begun.elapsed(),
        smallest: options.smallest(&cells, &done, attended)?,
        rows: rows(&subjects, cells, done),
        command: options.command(),
    };
    let written = options.files.write_each(|form| match form {
        ReportForm::Html => Form::Html.of(&gauntlet),
        ReportForm::Junit => Form::Junit.of(&gauntlet),
        ReportForm::Markdown => Form::Markdown.of(&gauntlet),
    });
    print(options.output.of(&gauntlet)?)?;
    written?;
    Ok(Exit::worst(gauntlet.cells().map(|(_, cell)| Exit::of(cell.as_expected))))
}

fn list() -> anyhow::Result<Exit> {
    let longest = ALL.iter().map(|nemesis| nemesis.name.len()).max().unwrap_or(0);
    let lines = ALL.iter().map(|nemesis| format!("{:<longest$}   {}", nemesis.name, nemesis.imitates));
    print(lines.collect::<Vec<_>>().join("\n"))?;
    Ok(Exit::AsExpected)
}

fn write(directory: &Path, cells: &[Planned], gauntlet: &str) -> anyhow::Result<Exit> {
    if let Some(problem) = cells.iter().find_map(|cell| cell.plan.as_ref().err()) {
        return Err(Misuse(format!("--emit: {problem}")).into());
    }
    let mut left_out: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (cell, reason) in cells.iter().filter_map(|cell| Some((cell, cell.unkillable()?))) {
        left_out.entry(reason).or_default().push(cell.name());
    }
    let runnable = cells.iter().filter(|cell| cell.unkillable().is_none());
    let told = left_out.iter().map(|(reason, names)| format!("not written: {}: {reason}", names.join(", ")));
    if runnable.clone().next().is_none() {
        return Err(Misuse(format!("--emit: {}", told.collect::<Vec<_>>().join("; "))).into());
    }
    let written = emit(directory, runnable.map(|cell| (&cell.experiment, cell.nemesis.imitates)))?;
    told.for_each(tell);
    tell(format_args!(
        "{written} files in {}; on a cluster: kubectl apply -f {0} && paylab wait --selector {GAUNTLET_LABEL}={gauntlet}",
        directory.display()
    ));
    Ok(Exit::AsExpected)
}

/// The table of what the cells have come to.
fn rows(subjects: &[Subject], cells: Vec<Planned>, done: Vec<Done>) -> Vec<Row> {
    let mut rows: Vec<_> =
        subjects.iter().map(|subject| Row { subject: subject.name.clone(), cells: Vec::new() }).collect();
    for (planned, Done { finding, outcome }) in cells.into_iter().zip(done) {
        let Planned { row, nemesis, expected, .. } = planned;
        let as_expected = planned.agrees(&finding);
        rows[row].cells.push(Cell { nemesis, finding, expected, as_expected, outcome });
    }
    rows
}

fn nemesis(name: &str) -> Result<&'static Nemesis, String> {
    Nemesis::named(name).ok_or_else(|| {
        let names: Vec<_> = ALL.iter().map(|nemesis| nemesis.name).collect();
        format!("there is no such nemesis; there are {}", names.join(", "))
    })
}

impl Form {
    /// A gauntlet in this form.
    fn of(self, gauntlet: &Gauntlet) -> anyhow::Result<String> {
        Ok(match self {
            Self::Text => TextTable(gauntlet).to_string(),
            Self::Json => json::gauntlet(gauntlet)?,
            Self::Markdown => markdown::gauntlet(gauntlet),
            Self::Html => html::page(gauntlet)?,
            Self::Junit => junit::gauntlet(gauntlet)?,
        })
    }
}

impl Options {
    /// The rows of the table, and the contract of the user's own service.
    fn subjects(
        &self,
        places: Places,
    ) -> anyhow::Result<(Vec<Subject>, Option<std::sync::Arc<paylab_contract::Contract>>)> {
        let Some(file) = self.file.clone() else {
            if self.target.shown().is_some() {
                let problem = "--target, --target-command and --ledger-url need a FILE that says how your service is paid; begin one with paylab init";
                return Err(Misuse(problem.to_owned()).into());
            }
            let mut subjects: Vec<_> =
                Dedup::ALL.into_iter().map(|mode| Subject::ours(mode, self.seed.unwrap_or(OUR_SEED))).collect();
            subjects.iter_mut().for_each(|subject| self.adjust(subject, OUR_PAYMENTS));
            return Ok((subjects, None));
        };
        let source = Source { file, seed: self.seed, concurrency: self.concurrency, places };
        let experiment = source.read()?;
        let contract = if self.emit.is_none() { source.contract_of(&experiment, &self.database)? } else { None };
        let mut base = experiment.resource;
        base.spec.seed = Some(base.spec.seed.unwrap_or(i64::try_from(drawn_seed()).unwrap_or_default()));
        let mut subject = Subject::of_file(base);
        let payments = subject.base.spec.payments.count;
        self.adjust(&mut subject, payments);
        Ok((vec![subject], contract))
    }

    /// The smallest run that shows the first broken nemesis of a file; `None`: nothing is broken, or Paylab's own modes are, as they should.
    fn smallest(&self, cells: &[Planned], done: &[Done], attended: Attended<'_>) -> anyhow::Result<Option<Smallest>> {
        let broken = cells.iter().zip(done).find_map(|(cell, done)| match (&done.finding, &done.outcome) {
            (Finding::Broken { .. }, Some(outcome)) => Some((cell, outcome)),
            _ => None,
        });
        let Some((cell, outcome)) = broken.filter(|_| self.file.is_some()) else { return Ok(None) };
        if attended.shutdown.is_cancelled() {
            let reason = "it was not looked for, because the gauntlet was interrupted".to_owned();
            return Ok(Some(Smallest::Missing { reason }));
        }
        if attended.bar == Bar::Shown {
            tell(format_args!("looking for the smallest run that shows {}", cell.nemesis.name));
        }
        let (places, _) = self.target.prepare()?;
        let source = self.file.clone().map(|file| Source { file, seed: None, concurrency: None, places });
        let written = source.and_then(|source| source.target_as_written());
        let wanted = Wanted { file: self.smallest.clone(), target: self.target.shown(), written };
        smallest(cell, outcome, &wanted, attended).map(Some)
    }

    fn adjust(&self, subject: &mut Subject, payments: i64) {
        let spec = &mut subject.base.spec;
        spec.payments.count = self.payments.unwrap_or(payments);
        spec.client.concurrency = self.concurrency.unwrap_or(spec.client.concurrency);
    }

    fn nemeses(&self) -> Vec<&'static Nemesis> {
        ALL.iter()
            .filter(|nemesis| self.only.is_empty() || self.only.iter().any(|only| only.name == nemesis.name))
            .collect()
    }

    fn cells(
        &self,
        subjects: &[Subject],
        contract: Option<&std::sync::Arc<paylab_contract::Contract>>,
    ) -> Vec<Planned> {
        let nemeses = self.nemeses();
        let rows = subjects.iter().enumerate();
        rows.flat_map(|(row, subject)| nemeses.iter().map(move |nemesis| Planned::of(row, subject, nemesis, contract)))
            .collect()
    }

    /// The command that runs the same gauntlet again.
    fn command(&self) -> String {
        let file = self.file.as_ref().map(|file| format!(" {}", argument(file))).unwrap_or_default();
        let seed = self.seed.map(|seed| format!(" --seed {seed}")).unwrap_or_default();
        let payments = self.payments.map(|payments| format!(" --payments {payments}")).unwrap_or_default();
        let concurrency = self.concurrency.map(|number| format!(" --concurrency {number}")).unwrap_or_default();
        let target = self.target.shown().map(|target| format!(" {target}")).unwrap_or_default();
        format!("paylab gauntlet{file}{seed}{payments}{concurrency}{target}{}", self.until.shown())
    }

    const fn bar(&self) -> Bar {
        if self.quiet { Bar::Hidden } else { Bar::Shown }
    }
}
