//! Runs an experiment again and again with fresh seeds, until enough chances to break the claim have bounded the bug rate, something breaks, or
//! a budget is used up. Each run can be repeated alone with its seed.

use std::{
    str::FromStr,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use clap::Args;
use paylab_core::{
    chronicle::{Chronicle, Counts},
    claim::{Claim, Verdict},
    duration_text::DurationText,
    exposures::ExposureKind,
    judge::{
        doubt::{Doubt, DoubtNote},
        report::Report,
    },
    outcome::{
        Outcome, Setting,
        exposure::{BOUND_LEAST, bug_rate_bound, exposures_needed},
        series::{Series, forget_exposures_of_one, plus_run},
    },
    plan::Plan,
    prediction::{Prediction, depends_on_timing},
};
use paylab_present::sentence::percent;

use crate::{
    commands::{
        progress::Bar,
        run::{Attendance, Paid, measure_until},
    },
    output::tell_over_progress,
};

/// How long a series may take by default.
const BUDGET: DurationText = DurationText::from_ms(600_000);
/// What is predicted of more payments than these follows from these.
const PREDICTED_MOST: u64 = 20_000;
/// How often it is told how far a series is.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Until when an experiment is run again and again.
#[derive(Debug, Clone, Default, Args)]
pub struct UntilOptions {
    /// Goes on with fresh payments, each run with the next seed, until the bug rate is below this with 95 % confidence, such as 1e-4, or something
    /// breaks
    #[arg(long, value_name = "RATE")]
    pub until_bound: Option<Bound>,
    /// How long the runs of --until-bound may take, for each experiment: a number with the unit ms, s, m or h. By default 10m
    #[arg(long, value_name = "SPAN", requires = "until_bound")]
    pub budget: Option<DurationText>,
    /// How many payments the runs of --until-bound may make, for each experiment. By default as many as the time allows
    #[arg(long, value_name = "N", requires = "until_bound", value_parser = clap::value_parser!(u64).range(1..))]
    pub payments_most: Option<u64>,
}

/// The bug rate below which a series ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    rate: f64,
    text: String,
}

/// A text that is not a bound.
#[derive(Debug, Clone, thiserror::Error)]
#[error("is not a rate that can be bounded; use a number from 1e-9 to below 1, such as 1e-4")]
pub struct BoundError;

impl FromStr for Bound {
    type Err = BoundError;

    fn from_str(text: &str) -> Result<Self, BoundError> {
        let rate: f64 = text.parse().map_err(|_| BoundError)?;
        let allowed = (BOUND_LEAST..1.0).contains(&rate);
        if allowed { Ok(Self { rate, text: text.to_owned() }) } else { Err(BoundError) }
    }
}

/// A series while it is run.
struct Running<'a> {
    plan: &'a Plan,
    bound: &'a Bound,
    until: &'a UntilOptions,
    kind: ExposureKind,
    needed: u64,
    report: Option<Report>,
    runs: u64,
}

/// Runs a plan once, or again and again if the options say so. `kind` is what puts the claim to the test, if it is not what the claim says.
///
/// # Errors
/// The lab cannot do its work.
pub(crate) fn measure_series(
    plan: &Plan,
    paid: Paid<'_>,
    setting: Setting,
    attendance: Attendance<'_>,
    until: &UntilOptions,
    kind: Option<ExposureKind>,
) -> anyhow::Result<(Outcome, Chronicle)> {
    let Some(bound) = &until.until_bound else { return measure_until(plan, paid, setting, attendance) };
    let kind = kind.unwrap_or(ExposureKind::of(plan.claim, &plan.client));
    let needed = exposures_needed(bound.rate);
    let mut running = Running { plan, bound, until, kind, needed, report: None, runs: 0 };
    if let Some(reason) = running.hopeless(until.payments_most) {
        return Ok((running.conclude(setting, Duration::ZERO, Some(reason)), Chronicle::default()));
    }
    let (begun, budget) = (Instant::now(), until.budget.unwrap_or(BUDGET));
    let mut told = begun;
    let reason = loop {
        if attendance.shutdown.is_cancelled() {
            break Some("it was interrupted".to_owned());
        }
        if begun.elapsed() >= budget.duration() {
            break Some(format!("--budget {budget} is used up"));
        }
        if let Some(most) = until.payments_most.filter(|most| (running.runs + 1) * plan.count > *most) {
            break Some(format!("another run would make more payments than --payments-most {most}"));
        }
        let (outcome, chronicle) = measure_until(&running.next_plan(), paid, setting.clone(), attendance)?;
        let is_cut_short = attendance.shutdown.is_cancelled() && outcome.verdict == Verdict::Inconclusive;
        if is_cut_short && running.runs > 0 {
            // What the runs before it have shown stays true.
            break Some("it was interrupted".to_owned());
        }
        if !running.take(&outcome) {
            let (before, [_, kinds]) = (running.exposures(), kind.words());
            if running.runs > 1 && outcome.verdict == Verdict::Violated {
                tell_over_progress(format_args!(
                    "{}: run {} breaks its claim, after {before} {kinds}",
                    attendance.name, running.runs
                ));
            }
            return Ok((outcome, chronicle));
        }
        if running.exposures() >= needed {
            break None;
        }
        if attendance.bar == Bar::Shown && told.elapsed() >= TOLD_EVERY {
            told = Instant::now();
            tell_over_progress(format_args!("{}: {}", attendance.name, running.progress()));
        }
    };
    let setting = Setting { database: Some(paid.ledger()), ..setting };
    let note = format!("{} runs are added up; `paylab run FILE --seed N` tells the payments of one", running.runs);
    let chronicle = Chronicle { counts: Counts { unread: Some(note), ..Counts::default() }, ..Chronicle::default() };
    Ok((running.conclude(setting, begun.elapsed(), reason), chronicle))
}

impl Running<'_> {
    /// Why the bound cannot be reached, if that is known before anything is run.
    fn hopeless(&self, payments_most: Option<u64>) -> Option<String> {
        if self.plan.claim == Claim::ExactTotal {
            return Some("a total says nothing of single payments, so that no bug rate can be bounded".to_owned());
        }
        let predicted = self.plan.count.min(PREDICTED_MOST);
        let exposures = Prediction::of(self.plan, 0..predicted).exposures.count(self.kind);
        let [_, kinds] = self.kind.words();
        if depends_on_timing(self.plan).is_some() {
            return None;
        }
        if exposures == 0 {
            return Some(format!("there will be no {kinds}, whatever the number of payments; add faults"));
        }
        let payments = self.needed.saturating_mul(predicted).div_ceil(exposures);
        // Other seeds have some more or some less.
        let most = payments_most.filter(|most| most.saturating_mul(11) / 10 < payments)?;
        Some(format!("about {payments} payments are needed for {} {kinds}, and --payments-most is {most}", self.needed))
    }

    /// The plan of the next run: the same with the next seed.
    fn next_plan(&self) -> Plan {
        let seed = self.seed_after(self.runs);
        Plan { sampler: self.plan.sampler.clone().with_seed(seed), ..self.plan.clone() }
    }

    /// A seed that a file can hold.
    fn seed_after(&self, runs: u64) -> u64 {
        self.plan.seed().wrapping_add(runs) & i64::MAX.unsigned_abs()
    }

    /// Adds a run, unless it ends the series: it breaks the claim, or proves nothing.
    fn take(&mut self, outcome: &Outcome) -> bool {
        self.runs += 1;
        let mut report = outcome.report.clone();
        forget_exposures_of_one(&mut report);
        if outcome.verdict == Verdict::Violated || !report.doubts.is_empty() {
            return false;
        }
        self.report = Some(match self.report.take() {
            None => report,
            Some(earlier) => plus_run(earlier, report),
        });
        true
    }

    fn exposures(&self) -> u64 {
        let exposures = self.report.as_ref().and_then(|report| report.exposures);
        exposures.map_or(0, |exposures| exposures.count(self.kind))
    }

    fn progress(&self) -> String {
        let (exposures, [_, kinds]) = (self.exposures(), self.kind.words());
        let runs = self.runs;
        let (bound, needed) = (percent(bug_rate_bound(exposures)), self.needed);
        format!("{runs} runs, {exposures} of {needed} {kinds}, bug rate < {bound} %")
    }

    /// The outcome of all runs together; `reason` is why the bound was not reached.
    fn conclude(self, setting: Setting, elapsed: Duration, reason: Option<String>) -> Outcome {
        let (exposures, [_, kinds]) = (self.exposures(), self.kind.words());
        let mut report = self.report.clone().unwrap_or_else(|| Report { seed: self.plan.seed(), ..Report::default() });
        if let Some(reason) = reason {
            let (bound, wanted) = (percent(bug_rate_bound(exposures)), percent(self.bound.rate));
            let reached =
                format!("{exposures} {kinds} bound it below {bound} %, and {} are needed for {wanted} %", self.needed);
            let detail = Some(format!("{reason}; {reached}"));
            report.doubt(Doubt::BoundNotReached, DoubtNote { count: 1, first: None, detail });
        }
        let series = Series {
            runs: self.runs,
            first_seed: self.plan.seed(),
            last_seed: self.seed_after(self.runs.saturating_sub(1)),
            until_bound: self.bound.text.clone(),
            budget: self.until.budget.map(|budget| budget.to_string()),
            payments_most: self.until.payments_most,
        };
        let count = if self.runs == 0 { self.plan.count } else { self.plan.count * self.runs };
        let plan = Plan { count, ..self.plan.clone() };
        let setting = Setting { elapsed: Some(elapsed), series: Some(series), ..setting };
        Outcome::of_kept(&plan, report, setting)
    }
}

impl UntilOptions {
    /// The options as a shell reads them again, each with a space before it.
    pub(crate) fn shown(&self) -> String {
        let Self { until_bound, budget, payments_most } = self;
        let bound = until_bound.as_ref().map(|bound| format!(" --until-bound {}", bound.text)).unwrap_or_default();
        let budget = budget.map(|budget| format!(" --budget {budget}")).unwrap_or_default();
        let most = payments_most.map(|most| format!(" --payments-most {most}")).unwrap_or_default();
        format!("{bound}{budget}{most}")
    }

    /// Refuses a database that holds the ledger of one run only, and no time at all.
    ///
    /// # Errors
    /// The ledger is in a file, or no run could begin.
    pub(crate) fn check(&self, database: &crate::lab::Database) -> anyhow::Result<()> {
        if self.budget.is_some_and(|budget| budget.duration().is_zero()) {
            return Err(crate::exit::Misuse("--budget: 0 s allow no run; give more".to_owned()).into());
        }
        match (database, &self.until_bound) {
            (crate::lab::Database::File { url: _, path }, Some(_)) => {
                let problem = format!("--database: {} can hold the ledger of one run only; use sqlite", path.display());
                Err(anyhow!(crate::exit::Misuse(problem)))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_a_rate_above_zero_and_below_one() {
        for text in ["1e-4", "0.5", "1e-9", "0.001"] {
            assert_eq!(text.parse::<Bound>().unwrap().text, text);
        }
        for text in ["0", "1", "-1e-4", "1e-10", "NaN", "inf", "", "1 %", "small"] {
            assert!(text.parse::<Bound>().is_err(), "{text}");
        }
    }
}
