//! The search: the payment that shows the violation first, then one step after another, each kept if the same class stays.

use paylab_core::{claim::Verdict, judge::anomaly::Anomaly, outcome::Outcome, plan::Plan};
use paylab_resource::spec::ChaosExperimentSpec;

use super::{
    form::Form,
    probe::{Exhausted, Prober, Seen},
    steps::{Step, steps, with_more_time},
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

/// What the first runs of an experiment have shown.
#[derive(Debug)]
pub(crate) enum Found {
    /// One has broken the claim.
    Broken(Violation),
    /// None has broken it; the last of them.
    Unbroken(Box<Outcome>),
    /// None came to its end.
    Nothing(Exhausted),
}

/// What a shrink has come to.
#[derive(Debug)]
pub(crate) struct Shrunk {
    /// The smallest experiment.
    pub(crate) spec: ChaosExperimentSpec,
    /// How often its last runs have shown the class.
    pub(crate) seen: Seen,
    /// The changes that were kept.
    pub(crate) kept: Vec<String>,
    /// The changes without which the class is not shown, or not as often.
    pub(crate) needed: Vec<String>,
    /// Why the search has ended early; `None`: nothing that is left can be made smaller.
    pub(crate) stopped: Option<Exhausted>,
}

/// Runs an experiment until it breaks its claim.
///
/// # Errors
/// The lab cannot do its work.
pub(crate) fn violation(plan: &Plan, prober: &mut Prober<'_>) -> anyhow::Result<Found> {
    let mut last = None;
    for _ in 0..TRIES {
        let Some(outcome) = prober.run(plan)? else { break };
        match (outcome.verdict, outcome.broken.first()) {
            (Verdict::Violated, Some(class)) => {
                return Ok(Found::Broken(Violation { class: *class, outcome: Box::new(outcome) }));
            }
            (Verdict::Violated | Verdict::Upheld | Verdict::Inconclusive, _) => last = Some(Box::new(outcome)),
        }
    }
    Ok(match (last, prober.exhausted()) {
        (Some(outcome), _) => Found::Unbroken(outcome),
        (None, exhausted) => Found::Nothing(exhausted.unwrap_or(Exhausted::Runs(0))),
    })
}

/// The state of a search.
struct Search<'a, 'b, T> {
    class: Anomaly,
    prober: &'a mut Prober<'b>,
    told: T,
    form: Form,
    seen: Seen,
    /// What it was before each change that was kept.
    before: Vec<(Form, Seen)>,
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
    let (form, seen) = (Form::of(spec), Seen::once(&violation.outcome));
    let class = violation.class;
    let mut search =
        Search { class, prober, told, form, seen, before: Vec::new(), kept: Vec::new(), needed: Vec::new() };
    search.begin(spec, violation)?;
    // Each pass that changes something is followed by another, because one step may make another possible.
    while search.prober.exhausted().is_none() && search.pass()? {}
    search.end()
}

impl<T: FnMut(&str, bool)> Search<'_, '_, T> {
    /// Begins with the payment that shows the violation most often, alone; if none does so alone, with the experiment as it is.
    fn begin(&mut self, spec: &ChaosExperimentSpec, violation: &Violation) -> anyhow::Result<()> {
        let mut best: Option<(Form, Seen, String)> = None;
        for (form, what) in alone(spec, self.class, &violation.outcome.plan, &violation.outcome) {
            let seen = self.rate(&form)?;
            let is_shown = seen.shown > 0;
            if is_shown || self.prober.exhausted().is_none() {
                (self.told)(&what, is_shown);
            }
            if seen.shown > best.as_ref().map_or(0, |(_, best, _)| best.shown) {
                best = Some((form, seen, what));
            }
            if seen.is_certain() {
                break;
            }
        }
        if let Some((form, seen, what)) = best {
            self.kept.push(what);
            (self.form, self.seen) = (form, seen);
            while !self.seen.is_certain() && self.give_more_time()? {}
        } else {
            let seen = self.rate(&Form::of(spec))?;
            self.seen = if seen.of == 0 { self.seen } else { seen };
        }
        Ok(())
    }

    /// Runs an experiment as often as needed to say how often it shows the class.
    fn rate(&mut self, form: &Form) -> anyhow::Result<Seen> {
        self.prober.rate(&form.spec(), self.class, CONFIRMATIONS, CONFIRMATIONS)
    }

    /// Gives a kill more time to strike in the middle of a booking, if that makes it more certain. False: it does not.
    fn give_more_time(&mut self) -> anyhow::Result<bool> {
        let Some(Step { what, form }) = with_more_time(&self.form) else { return Ok(false) };
        let seen = self.rate(&form)?;
        let is_better = seen.shown > self.seen.shown;
        if is_better || self.prober.exhausted().is_none() {
            (self.told)(&what, is_better);
        }
        if is_better {
            self.keep(what, form, seen);
        }
        Ok(is_better)
    }

    fn keep(&mut self, what: String, form: Form, seen: Seen) {
        self.before.push((std::mem::replace(&mut self.form, form), self.seen));
        self.seen = seen;
        self.kept.push(what);
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
            let misses_most = misses_most(self.seen);
            let seen = self.prober.rate(&form.spec(), self.class, CONFIRMATIONS, misses_most)?;
            let is_kept = suffices(seen, self.seen);
            let is_undecided = seen.of < CONFIRMATIONS && seen.of - seen.shown <= misses_most;
            if !is_kept && is_undecided && self.prober.exhausted().is_some() {
                break;
            }
            (self.told)(&what, is_kept);
            if is_kept {
                has_changed = true;
                self.keep(what, form, seen);
                // The rest of the pass begins with what is left.
                left = steps(&self.form);
                left.retain(|step| !self.needed.contains(&step.what));
            } else if !self.needed.contains(&what) {
                self.needed.push(what);
            }
        }
        Ok(has_changed)
    }

    /// Runs the result once more, as often as needed to say how often it shows the class. If that is not always, though it was before, it is
    /// given more time, and changes that were kept by luck are taken back.
    fn end(mut self) -> anyhow::Result<Shrunk> {
        let stopped = self.prober.exhausted();
        loop {
            self.prober.extend(CONFIRMATIONS);
            let seen = self.rate(&self.form.clone())?;
            let known = if seen.of == 0 { self.seen } else { seen };
            self.seen = known;
            if known.is_certain() || seen.of < CONFIRMATIONS {
                break;
            }
            self.prober.extend(CONFIRMATIONS);
            if !self.give_more_time()? && !self.take_back() {
                break;
            }
        }
        let Self { form, seen, kept, needed, .. } = self;
        Ok(Shrunk { spec: form.spec(), seen, kept, needed, stopped })
    }

    /// Returns to the last experiment that has always shown the class. False: there was none.
    fn take_back(&mut self) -> bool {
        let Some(index) = self.before.iter().rposition(|(_, seen)| seen.is_certain()) else { return false };
        let taken_back = self.before.len() - index;
        self.needed.extend(self.kept.split_off(self.kept.len() - taken_back));
        (self.form, self.seen) = self.before.swap_remove(index);
        self.before.truncate(index);
        true
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
    if class == Anomaly::AcknowledgedButLost {
        let killed = Form::of_kill_after_answer(spec);
        forms.extend(killed.map(|form| (form, "one payment, killed right after its answer".to_owned())));
    }
    forms
}

/// How many of its runs a step may not show: none where all have shown it before.
const fn misses_most(seen: Seen) -> u32 {
    if seen.is_certain() { 0 } else { CONFIRMATIONS - least(seen) }
}

/// A race may be seen half as often after a step, and at least once.
const fn least(seen: Seen) -> u32 {
    let half = seen.shown.div_ceil(2);
    if half == 0 { 1 } else { half }
}

fn suffices(seen: Seen, before: Seen) -> bool {
    if before.is_certain() { seen.is_certain() && seen.of == CONFIRMATIONS } else { seen.shown >= least(before) }
}
