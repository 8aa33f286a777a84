//! Runs a candidate, as often as needed to tell a race from luck, within a budget.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use load_job::Telling;
use paylab_contract::Contract;
use paylab_core::{
    judge::anomaly::Anomaly,
    outcome::{Outcome, Setting, totals::Total},
    plan::Plan,
};
use paylab_resource::{plan::plan, spec::ChaosExperimentSpec};
use tokio_util::sync::CancellationToken;

use crate::{
    commands::{
        progress::Bar,
        run::{Attendance, Paid, measure_until},
    },
    lab::Database,
    supervisor::OrdersTo,
};

/// The time for the last runs of a shrink, beyond its budget.
const CONFIRMATION_TIME: Duration = Duration::from_secs(60);

/// How much may be spent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// Runs.
    pub(crate) runs: u32,
    /// Time.
    pub(crate) time: Duration,
}

/// Runs candidates.
#[derive(Debug)]
pub(crate) struct Prober<'a> {
    database: &'a Database,
    contract: Option<Arc<Contract>>,
    orders_to: Option<&'a OrdersTo>,
    shutdown: &'a CancellationToken,
    budget: Budget,
    begun: Instant,
    runs: u32,
}

/// How often something was seen, and of how many runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) shown: u32,
    pub(crate) of: u32,
    /// How many attempts the last run took that has shown it.
    pub(crate) attempts: u64,
}

/// Why nothing more may be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exhausted {
    /// Somebody wants it to end.
    Interrupted,
    /// So many runs were made.
    Runs(u32),
    /// So much time has passed.
    Time(Duration),
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted => f.write_str("it was interrupted"),
            Self::Runs(runs) => write!(f, "{runs} runs were made"),
            Self::Time(time) => write!(f, "{} s have passed", time.as_secs_f64()),
        }
    }
}

impl Seen {
    /// It was not looked for.
    pub(super) const NEVER: Self = Self { shown: 0, of: 0, attempts: 0 };

    /// It was seen in one run.
    pub(super) fn once(outcome: &Outcome) -> Self {
        Self { shown: 1, of: 1, attempts: attempts_of(outcome) }
    }

    /// Whether every run has shown it.
    pub(crate) const fn is_certain(self) -> bool {
        self.shown == self.of && self.of > 0
    }

    /// Adds a run, in which it was shown or not.
    fn add(&mut self, outcome: &Outcome, class: Anomaly) {
        self.of += 1;
        if outcome.broken.first() == Some(&class) {
            self.shown += 1;
            self.attempts = attempts_of(outcome);
        }
    }
}

fn attempts_of(outcome: &Outcome) -> u64 {
    Total::Attempts.measured(&outcome.report).unwrap_or(0)
}

impl<'a> Prober<'a> {
    pub(crate) fn new(
        database: &'a Database,
        (contract, orders_to): (Option<Arc<Contract>>, Option<&'a OrdersTo>),
        shutdown: &'a CancellationToken,
        budget: Budget,
    ) -> Self {
        Self { database, contract, orders_to, shutdown, budget, begun: Instant::now(), runs: 0 }
    }

    /// How many runs there were.
    pub(crate) const fn runs(&self) -> u32 {
        self.runs
    }

    /// How long it has taken.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Why nothing more may be run; `None`: it may.
    pub(crate) fn exhausted(&self) -> Option<Exhausted> {
        if self.shutdown.is_cancelled() {
            return Some(Exhausted::Interrupted);
        }
        if self.runs >= self.budget.runs {
            return Some(Exhausted::Runs(self.runs));
        }
        (self.elapsed() >= self.budget.time).then_some(Exhausted::Time(self.budget.time))
    }

    /// Adds runs to the budget, and the time for them, unless somebody wants it to end.
    pub(super) fn extend(&mut self, runs: u32) {
        self.budget.runs = self.runs + runs;
        self.budget.time = self.elapsed() + CONFIRMATION_TIME;
    }

    /// Runs a plan once; `None`: the budget is exhausted, or the run was interrupted, so that it shows nothing.
    ///
    /// # Errors
    /// The lab cannot do its work.
    pub(crate) fn run(&mut self, plan: &Plan) -> anyhow::Result<Option<Outcome>> {
        if self.exhausted().is_some() {
            return Ok(None);
        }
        self.runs += 1;
        let paid = match &self.contract {
            None => Paid::Ours(self.database),
            Some(contract) => Paid::Theirs(contract, self.orders_to),
        };
        let attendance =
            Attendance { name: "shrink", bar: Bar::Hidden, shutdown: self.shutdown, telling: Telling::Verdict };
        let (outcome, _) = measure_until(plan, paid, Setting::default(), attendance)?;
        Ok((!self.shutdown.is_cancelled()).then_some(outcome))
    }

    /// Runs an experiment so many times, and counts how often a class breaks the claim first of all. It ends early when more runs have not shown
    /// it than may. An experiment that is not valid shows nothing.
    ///
    /// # Errors
    /// The lab cannot do its work.
    pub(crate) fn rate(
        &mut self,
        spec: &ChaosExperimentSpec,
        class: Anomaly,
        times: u32,
        misses_most: u32,
    ) -> anyhow::Result<Seen> {
        let mut seen = Seen::NEVER;
        // What is valid is decided once, because that takes longer than a run.
        let Ok(plan) = plan(spec, 0) else { return Ok(seen) };
        while seen.of < times && seen.of - seen.shown <= misses_most {
            let Some(outcome) = self.run(&plan)? else { break };
            seen.add(&outcome, class);
        }
        Ok(seen)
    }
}
