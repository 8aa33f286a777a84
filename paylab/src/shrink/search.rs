//! The search: the payment that shows the violation first, then one step after another, each kept if the same class stays.

use anyhow::anyhow;
use paylab_core::{
    claim::Verdict,
    judge::anomaly::Anomaly,
    outcome::{Outcome, totals::Total},
    plan::Plan,
};
use paylab_resource::{plan::plan, spec::ChaosExperimentSpec};

use super::{
    form::Form,
    probe::{Prober, Rate},
    steps::{Step, steps},
};

/// A run that breaks its claim by a race may hold now and then.
const TRIES: u32 = 3;
/// What is kept is run this often: a change of a violation that always shows is kept if it always shows after it.
const CONFIRMATIONS: u32 = 10;
/// At most this many payments are tried alone.
const PAYMENTS_TRIED: usize = 3;

/// A run that breaks its claim.
#[derive(Debug)]
pub(crate) struct Violation {
    /// The worst anomaly that breaks it.
    pub(crate) class: Anomaly,
    /// The run.
    pub(crate) outcome: Box<Outcome>,
}

/// What a shrink has come to.
#[derive(Debug)]
pub(crate) struct Shrunk {
    /// The smallest experiment.
    pub(crate) spec: ChaosExperimentSpec,
    /// How often its last runs have shown the class.
    pub(crate) rate: Rate,
    /// How many attempts its last run took that has shown it.
    pub(crate) attempts: u64,
    /// The changes that were kept.
    pub(crate) kept: Vec<String>,
    /// The changes without which the class is not shown, or not as often.
    pub(crate) needed: Vec<String>,
    /// Why the search has ended early; `None`: nothing that is left can be made smaller.
    pub(crate) stopped: Option<String>,
}

/// Runs an experiment until it breaks its claim.
///
/// # Errors
/// The lab cannot do its work; or, in words, why there is nothing to be shrunk.
pub(crate) fn violation(plan: &Plan, prober: &mut Prober<'_>) -> anyhow::Result<Result<Violation, Box<Outcome>>> {
    let mut last = None;
    for _ in 0..TRIES {
        let Some(outcome) = prober.run(plan)? else { break };
        match (outcome.verdict, outcome.broken.first()) {
            (Verdict::Violated, Some(class)) => {
                return Ok(Ok(Violation { class: *class, outcome: Box::new(outcome) }));
            }
            (Verdict::Violated | Verdict::Upheld | Verdict::Inconclusive, _) => last = Some(Box::new(outcome)),
        }
    }
    last.map(Err).ok_or_else(|| anyhow!("the budget does not suffice for one run"))
}

/// The state of a search.
struct Search<'a, 'b, T> {
    class: Anomaly,
    prober: &'a mut Prober<'b>,
    told: T,
    form: Form,
    rate: Rate,
    /// What it was before each change that was kept.
    before: Vec<(Form, Rate)>,
    kept: Vec<String>,
    needed: Vec<String>,
}

/// Makes an experiment smaller that breaks its claim. `told` hears of every change that was tried, and whether it was kept.
///
/// # Errors
/// The lab cannot do its work.
pub(crate) fn shrink(
    spec: &ChaosExperimentSpec,
    violation: &Violation,
    prober: &mut Prober<'_>,
    told: impl FnMut(&str, bool),
) -> anyhow::Result<Shrunk> {
    let (form, rate) = (Form::of(spec), Rate { shown: 0, of: 0 });
    let class = violation.class;
    let mut search =
        Search { class, prober, told, form, rate, before: Vec::new(), kept: Vec::new(), needed: Vec::new() };
    search.begin(spec, violation)?;
    // Each pass that changes something is followed by another, because one step may make another possible.
    while search.prober.exhausted().is_none() && search.pass()? {}
    search.end()
}

impl<T: FnMut(&str, bool)> Search<'_, '_, T> {
    /// Begins with the payment that shows the violation most often, alone; if none does so alone, with the experiment as it is.
    fn begin(&mut self, spec: &ChaosExperimentSpec, violation: &Violation) -> anyhow::Result<()> {
        let mut best: Option<(Form, Rate, String)> = None;
        for (form, what) in alone(spec, self.class, &violation.outcome.plan, &violation.outcome) {
            let rate = self.prober.rate(&form.spec(), self.class, CONFIRMATIONS, CONFIRMATIONS)?;
            (self.told)(&what, rate.shown > 0);
            if rate.shown > best.as_ref().map_or(0, |(_, best, _)| best.shown) {
                best = Some((form, rate, what));
            }
            if rate.is_certain() {
                break;
            }
        }
        let Some((form, rate, what)) = best else {
            self.rate = self.prober.rate(spec, self.class, CONFIRMATIONS, CONFIRMATIONS)?;
            return Ok(());
        };
        self.kept.push(what);
        (self.form, self.rate) = (form, rate);
        Ok(())
    }

    /// Tries every step once, and says whether one was kept.
    fn pass(&mut self) -> anyhow::Result<bool> {
        self.needed.clear();
        let mut left = steps(&self.form);
        let mut has_changed = false;
        while let Some(Step { what, form }) = left.first().cloned() {
            if self.prober.exhausted().is_some() {
                break;
            }
            left.remove(0);
            let seen = check(&form.spec(), self.class, self.rate, self.prober)?;
            let is_kept = suffices(seen, self.rate);
            (self.told)(&what, is_kept);
            if is_kept {
                has_changed = true;
                self.before.push((std::mem::replace(&mut self.form, form), self.rate));
                self.rate = seen;
                self.kept.push(what);
                // The rest of the pass begins with what is left.
                left = steps(&self.form);
                left.retain(|step| !self.needed.contains(&step.what));
            } else if !self.needed.contains(&what) {
                self.needed.push(what);
            }
        }
        Ok(has_changed)
    }

    /// Runs the result once more, as often as needed to say how often it shows the class. If a change was kept by luck, it is taken back.
    fn end(mut self) -> anyhow::Result<Shrunk> {
        let stopped = self.prober.exhausted();
        loop {
            self.prober.extend(CONFIRMATIONS);
            let (rate, attempts) = confirm(&self.form.spec(), self.class, self.prober, self.rate)?;
            let earlier = if rate.is_certain() { None } else { self.before.pop_if(|(_, rate)| rate.is_certain()) };
            let Some((form, rate)) = earlier else {
                let Self { form, kept, needed, .. } = self;
                return Ok(Shrunk { spec: form.spec(), rate, attempts, kept, needed, stopped });
            };
            (self.form, self.rate) = (form, rate);
            self.needed.extend(self.kept.pop());
        }
    }
}

/// The payments that show a violation, each alone with its fate, those with the fewest attempts first.
fn alone(spec: &ChaosExperimentSpec, class: Anomaly, plan: &Plan, outcome: &Outcome) -> Vec<(Form, String)> {
    let mut examples = outcome.report.anomalies.get(&class).map(|known| known.first.clone()).unwrap_or_default();
    examples.sort_by_key(|example| (example.attempts, example.payment));
    let forms = examples.into_iter().filter_map(|example| {
        let what = format!("payment {} alone, with its fate", example.payment);
        Some((Form::of_payment(spec, plan, example.payment, example.attempts)?, what))
    });
    let mut forms: Vec<_> = forms.collect();
    // A payment that no fault strikes may owe its fate to another one.
    forms.sort_by_key(|(form, _)| !form.is_struck());
    forms.truncate(PAYMENTS_TRIED);
    forms
}

/// Runs a step as often as needed to say whether it still shows the class.
fn check(spec: &ChaosExperimentSpec, class: Anomaly, rate: Rate, prober: &mut Prober<'_>) -> anyhow::Result<Rate> {
    if rate.is_certain() {
        prober.rate(spec, class, CONFIRMATIONS, 0)
    } else {
        let misses = CONFIRMATIONS - least(rate);
        prober.rate(spec, class, CONFIRMATIONS, misses)
    }
}

/// A race may be seen half as often after a step, and at least once.
const fn least(rate: Rate) -> u32 {
    let half = rate.shown.div_ceil(2);
    if half == 0 { 1 } else { half }
}

fn suffices(seen: Rate, rate: Rate) -> bool {
    if rate.is_certain() { seen.is_certain() && seen.of == CONFIRMATIONS } else { seen.shown >= least(rate) }
}

/// Runs an experiment often enough to say how often it shows the class.
fn confirm(
    spec: &ChaosExperimentSpec,
    class: Anomaly,
    prober: &mut Prober<'_>,
    known: Rate,
) -> anyhow::Result<(Rate, u64)> {
    let (mut rate, mut attempts) = (Rate { shown: 0, of: 0 }, 0);
    let Ok(plan) = plan(spec, 0) else { return Ok((rate, attempts)) };
    while rate.of < CONFIRMATIONS {
        let Some(outcome) = prober.run(&plan)? else { break };
        rate.of += 1;
        if outcome.broken.first() == Some(&class) {
            rate.shown += 1;
            attempts = Total::Attempts.measured(&outcome.report).unwrap_or(0);
        }
    }
    Ok((if rate.of == 0 { known } else { rate }, attempts))
}
