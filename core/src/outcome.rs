//! The outcome of a run: one value that holds all that anybody may show about it. Presenters read it and nothing else.
//!
//! The conclusion has three layers that are never mixed. A broken invariant of the claim makes the verdict `Violated`; if no
//! invariant is broken, any doubt about the evidence makes it `Inconclusive`; only without a doubt it is `Upheld`.

pub mod exposure;
pub mod finding;
pub mod totals;

use std::{fmt, time::Duration};

use crate::{
    claim::{Expectation, Observed, Verdict},
    client::ConnectionPolicy,
    judge::{
        anomaly::Anomaly,
        doubt::{Doubt, DoubtNote},
        report::{LabTotals, Report},
    },
    outcome::{
        exposure::{doubt_exposures, exposures},
        finding::{Finding, findings},
    },
    plan::Plan,
    prediction::Prediction,
    theory::Theory,
};

/// A fault that should have taken effect this often and never did is a doubt.
const SILENT_AFTER: u64 = 10;

/// All that is known about a run once it has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// What was to be done.
    pub plan: Plan,
    /// Where and how it was done.
    pub setting: Setting,
    /// The witnesses added up, with every doubt.
    pub report: Report,
    /// The prediction for the seed.
    pub prediction: Prediction,
    /// What is expected over all seeds; `None` where there is no closed form.
    pub theory: Option<Theory>,
    /// Whether the claim held.
    pub verdict: Verdict,
    /// What the path was seen to do; `None` without a whole ledger.
    pub observed: Option<Observed>,
    /// The reason of the verdict.
    pub reason: Reason,
    /// The anomalies that break the claim, the worst first.
    pub broken: Vec<Anomaly>,
    /// What is unexpected and does not change the verdict.
    pub findings: Vec<Finding>,
    /// How often the path had a chance to break its claim.
    pub exposures: u64,
}

/// Where and how an experiment was run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Setting {
    /// The name of the experiment.
    pub experiment: String,
    /// The file that it was read from; `None` on a cluster, and for standard input.
    pub file: Option<String>,
    /// The number of payments in flight, where the command line has replaced the file's.
    pub concurrency: Option<i32>,
    /// The database that held the ledger, such as `sqlite`; `None`: not known.
    pub database: Option<String>,
    /// The time from the start of the first part to the verdict; `None`: not measured.
    pub elapsed: Option<Duration>,
}

/// The reason of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Nothing breaks the claim, and nothing is in doubt.
    ClaimHeld,
    /// The worst anomaly that breaks the claim.
    Broken(Anomaly),
    /// The first doubt about the evidence.
    Doubted(Doubt),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClaimHeld => f.write_str("ClaimHeld"),
            Self::Broken(anomaly) => write!(f, "{anomaly:?}"),
            Self::Doubted(doubt) => write!(f, "{doubt:?}"),
        }
    }
}

impl Outcome {
    /// Concludes from the merged report of a whole run.
    #[must_use]
    pub fn of(plan: &Plan, mut report: Report, prediction: Prediction, setting: Setting) -> Self {
        doubt_counts(plan, &mut report);
        doubt_faults(plan, &prediction, &mut report);
        let exposures =
            exposures(plan.claim, report.attempts.reached(), report.lab.forwarded, report.lab.repeats_forwarded);
        doubt_exposures(plan, &prediction, exposures, &mut report);
        let broken = broken(plan, &report);
        let (verdict, reason) = match (broken.first(), report.doubts.keys().next()) {
            (Some(worst), _) => (Verdict::Violated, Reason::Broken(*worst)),
            (None, Some(doubt)) => (Verdict::Inconclusive, Reason::Doubted(*doubt)),
            (None, None) => (Verdict::Upheld, Reason::ClaimHeld),
        };
        let whole = report.is_whole();
        let observed = (whole && !report.doubts.contains_key(&Doubt::LedgerFlawed)).then(|| observed(&report));
        let findings = if whole { findings(plan, &report, &prediction) } else { Vec::new() };
        let theory = Theory::of(plan);
        let plan = plan.clone();
        Self { plan, setting, report, prediction, theory, verdict, observed, reason, broken, findings, exposures }
    }

    /// Whether the verdict is the one that the spec expects; `None`: it is inconclusive.
    #[must_use]
    pub const fn is_as_expected(&self) -> Option<bool> {
        match (self.verdict, self.plan.expect) {
            (Verdict::Inconclusive, _) => None,
            (Verdict::Upheld, Expectation::Upheld) | (Verdict::Violated, Expectation::Violated) => Some(true),
            (Verdict::Upheld, Expectation::Violated) | (Verdict::Violated, Expectation::Upheld) => Some(false),
        }
    }
}

/// The anomalies that break the claim, the worst first.
fn broken(plan: &Plan, report: &Report) -> Vec<Anomaly> {
    let LabTotals { unattributed, service_requests, forwarded, .. } = report.lab;
    // If others have sent requests too, an unknown entry may be theirs.
    let alone = unattributed == 0 && (!plan.target.counts_all_requests() || service_requests <= forwarded);
    let breaks = |anomaly: &Anomaly| anomaly.violates(plan.claim) && (alone || *anomaly != Anomaly::Phantom);
    let found = report.anomalies.iter().filter(|(_, examples)| examples.count > 0);
    found.map(|(anomaly, _)| *anomaly).filter(breaks).collect()
}

/// Doubts that follow from what proxy and service have counted.
fn doubt_counts(plan: &Plan, report: &mut Report) {
    let LabTotals {
        forwarded, connections, service_requests, unintended_resets, unattributed, unrecorded, lapsed, ..
    } = report.lab;
    for (doubt, count) in [
        (Doubt::UnintendedResets, unintended_resets),
        (Doubt::Strangers, unattributed),
        (Doubt::Unrecorded, unrecorded),
        (Doubt::Lapsed, lapsed),
    ] {
        if count > 0 {
            report.doubt(doubt, DoubtNote { count, ..DoubtNote::default() });
        }
    }
    let totals = report.attempts;
    if !report.doubts.contains_key(&Doubt::RecordFlawed) {
        let reached = totals.reached();
        let differ = match plan.client.connection {
            ConnectionPolicy::PerAttempt => connections != reached,
            ConnectionPolicy::KeepAlive => connections > reached,
        };
        if differ {
            let detail = Some(format!("{connections} connections, {reached} attempts"));
            let count = connections.abs_diff(reached);
            report.doubt(Doubt::ConnectionsDiffer, DoubtNote { count, first: None, detail });
        }
    }
    // A request whose client has timed out may be cut off before the service has read it; replicas count their own requests only.
    let fits = match (plan.target.counts_all_requests(), totals.timeouts) {
        (true, 0) => service_requests == forwarded,
        (true, _) => service_requests <= forwarded,
        (false, _) => true,
    };
    if !fits && !report.doubts.contains_key(&Doubt::LedgerFlawed) {
        let detail = Some(format!("{forwarded} were forwarded, the service counts {service_requests}"));
        let count = service_requests.abs_diff(forwarded);
        report.doubt(Doubt::RequestsDiffer, DoubtNote { count, first: None, detail });
    }
}

/// Doubts about faults that should have taken effect.
fn doubt_faults(plan: &Plan, prediction: &Prediction, report: &mut Report) {
    for (index, fault) in plan.faults().iter().enumerate() {
        let due = prediction.faults.get(index).map_or(0, |tally| tally.effective);
        let effective = report.faults.get(index).map_or(0, |tally| tally.effective);
        if due >= SILENT_AFTER && effective == 0 {
            let detail = Some(format!("\"{}\" should have taken effect {due} times", fault.name));
            report.doubt(Doubt::FaultSilent, DoubtNote { count: 1, first: None, detail });
        }
    }
}

/// What the path was seen to do.
const fn observed(report: &Report) -> Observed {
    let missing = report.payments.intended > report.payments.booked;
    // The sum beyond one entry each is zero exactly when no payment has two.
    match (missing, report.lab.excess_minor > 0) {
        (true, false) => Observed::AtMostOnce,
        (false, true) => Observed::AtLeastOnce,
        (false, false) => Observed::ExactlyOnce,
        (true, true) => Observed::Neither,
    }
}
