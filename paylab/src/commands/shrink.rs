//! `paylab shrink`: makes a run that breaks its claim as small as possible.

use std::path::PathBuf;

use clap::Args;
use paylab_core::{claim::Verdict, duration_text::DurationText, outcome::Outcome};
use paylab_present::{gauntlet::class_word, sentence};
use paylab_resource::{
    nemesis::cell_name,
    spec::{ChaosExperiment, ChaosExperimentSpec},
};
use tokio_util::sync::CancellationToken;

use crate::{
    commands::output_files,
    exit::{Exit, Misuse},
    lab::Database,
    logs::{self, Logs},
    machine,
    output::{print_text, tell, tell_over_progress},
    shrink::{Budget, Exhausted, Found, Prober, Shrunk, shrink as search, violation},
    signals::{self, Told},
    source::{Source, argument},
    target::{self, TheirProcess},
    tidy::tidy_yaml,
};

/// The options of `paylab shrink`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Which experiment.
    #[command(flatten)]
    pub source: Source,
    /// Which service.
    #[command(flatten)]
    pub target: target::TargetOptions,
    /// Write the smallest experiment into this file, instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The most runs that the search may make
    #[arg(long, value_name = "N", default_value = "300", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub runs: u32,
    /// How long the search may take: a number with the unit ms, s, m or h
    #[arg(long, value_name = "SPAN", default_value = "5m")]
    pub budget: DurationText,
    /// Tells nothing but the result: the experiment, and what it shows
    #[arg(long, short)]
    pub quiet: bool,
    /// Logs of the parts
    #[command(flatten)]
    pub logs: Logs,
}

/// Runs the command.
///
/// # Errors
/// The experiment is invalid, does not break its claim, or the lab cannot do its work.
pub fn shrink(options: &Options) -> anyhow::Result<Exit> {
    logs::start(&options.logs, "warn")?;
    let (places, startable) = options.target.prepare()?;
    let source = options.source.clone().paying(places);
    let experiment = source.read()?;
    let contract = source.contract_of(&experiment, &Database::Temporary)?;
    let output: Vec<_> = options.output.iter().map(|file| ("--output", file.as_path())).collect();
    output_files::check(&output, [source.file.as_path()])?;
    options.target.check_kills(&experiment.plan).map_err(|(field, problem)| source.refuse(&field, problem))?;
    machine::raise_descriptor_limit();
    machine::check_descriptors(&experiment.plan)
        .map_err(|problem| source.refuse("spec.client.concurrency", problem))?;
    let shutdown = CancellationToken::new();
    signals::listen(shutdown.clone(), Told::Person)?;
    let started = startable.map(|startable| startable.start_for([&experiment.plan], &shutdown)).transpose()?;
    let orders_to = started.as_ref().and_then(TheirProcess::orders_to);
    let mut resource = experiment.resource;
    resource.spec.seed = i64::try_from(experiment.plan.seed()).ok();
    let budget = Budget { runs: options.runs, time: options.budget.duration() };
    let mut prober = Prober::new(&Database::Temporary, (contract, orders_to.as_ref()), &shutdown, budget);
    let found = match violation(&experiment.plan, &mut prober)? {
        Found::Broken(found) => found,
        Found::Unbroken(outcome) => return not_broken(&source.name(), &outcome),
        Found::Nothing(reason) => {
            let reason = in_options(reason);
            tell(format_args!(
                "{}: nothing is known of it, because no run has come to its end: {reason}",
                source.name()
            ));
            return Ok(Exit::Inconclusive);
        }
    };
    let shrunk = search(&resource.spec, &found, &mut prober, |what, is_kept| {
        if !options.quiet {
            tell_over_progress(format_args!("{} {what}", if is_kept { "kept:  " } else { "needed:" }));
        }
    })?;
    let name = cell_name(resource.metadata.name.as_deref().unwrap_or_default(), "small");
    let head = told(&found.outcome, &shrunk, &prober);
    let written = source.target_as_written();
    resource.spec.target = written.or(resource.spec.target);
    let exit = if shrunk.stopped == Some(Exhausted::Interrupted) { Exit::Inconclusive } else { Exit::AsExpected };
    write(options, &small(&resource, name, shrunk)?, &head)?;
    Ok(exit)
}

/// Why a search has ended early, with the option that lets it go on.
fn in_options(reason: Exhausted) -> String {
    match reason {
        Exhausted::Interrupted => reason.to_string(),
        Exhausted::Runs(_) => format!("{reason} (--runs)"),
        Exhausted::Time(_) => format!("{reason} (--budget)"),
    }
}

/// The experiment that a shrink has come to.
fn small(resource: &ChaosExperiment, name: String, shrunk: Shrunk) -> anyhow::Result<String> {
    let mut small = resource.clone();
    small.metadata.name = Some(name);
    small.spec = ChaosExperimentSpec { target: small.spec.target, ..shrunk.spec };
    tidy_yaml(&small)
}

/// Why an experiment cannot be shrunk.
fn not_broken(file: &str, outcome: &Outcome) -> anyhow::Result<Exit> {
    let verdict = sentence::verdict(outcome);
    match outcome.verdict {
        Verdict::Upheld | Verdict::Violated => {
            Err(Misuse(format!("{file}: nothing breaks its claim, so that there is nothing to be shrunk; {verdict}"))
                .into())
        }
        Verdict::Inconclusive => {
            tell(format_args!("{file}: {verdict}"));
            Ok(Exit::Inconclusive)
        }
    }
}

/// What was done, in a few lines.
fn told(before: &Outcome, shrunk: &Shrunk, prober: &Prober<'_>) -> Vec<String> {
    let Shrunk { spec, seen, kept, needed, stopped } = shrunk;
    let class = before.broken.first().map_or("", |class| class_word(*class));
    let count = |count: u64, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let rate = format!("seen in {} of {}", seen.shown, count(u64::from(seen.of), "run"));
    let rate = if seen.is_certain() { rate } else { format!("a race: {rate}") };
    let (faults, faults_before) = (spec.faults.len(), before.plan.faults().len());
    let mut lines = vec![
        format!(
            "{class}, {rate}: {} of {}, {}, {faults} of {}",
            count(spec.payments.count.unsigned_abs(), "payment"),
            before.plan.count,
            count(seen.attempts, "attempt"),
            count(faults_before as u64, "fault"),
        ),
        format!(
            "tried {} in {}, {:.1} s; kept: {}",
            count((kept.len() + needed.len()) as u64, "change"),
            count(u64::from(prober.runs()), "run"),
            prober.elapsed().as_secs_f64(),
            if kept.is_empty() { "none".to_owned() } else { kept.join(", ") }
        ),
    ];
    if !needed.is_empty() {
        lines.push(format!("not possible without losing it: {}", needed.join(", ")));
    }
    lines.extend(stopped.map(|reason| format!("the search has ended early: {}", in_options(reason))));
    lines
}

fn write(options: &Options, yaml: &str, head: &[String]) -> anyhow::Result<()> {
    head.iter().for_each(tell);
    let comment = head.first().map(|line| format!("# {line}\n")).unwrap_or_default();
    let text = format!("{comment}{yaml}");
    let Some(file) = &options.output else { return print_text(&text) };
    output_files::write("--output", file, &text)?;
    let target = options.target.shown().map(|target| format!(" {target}")).unwrap_or_default();
    tell(format_args!("run it: paylab run {}{target}", argument(file)));
    Ok(())
}
