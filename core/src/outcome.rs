//! The outcome of a run: one value that holds all that anybody may show about it. Presenters read it and nothing else.
//!
//! The conclusion has three layers that are never mixed. A broken invariant of the claim makes the verdict `Violated`; if no
//! invariant is broken, any doubt about the evidence makes it `Inconclusive`; only without a doubt it is `Upheld`.

pub mod comparison;
pub mod exposure;
pub mod finding;
pub mod series;
pub mod totals;

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    claim::{Expectation, Observed, Verdict},
    exposures::ExposureKind,
    judge::{
        anomaly::{Anomaly, Basis},
        doubt::Doubt,
        evidence::doubt_run,
        report::Report,
    },
    outcome::{
        finding::{Finding, findings},
        series::Series,
    },
    plan::Plan,
    theory::Theory,
};

/// All that is known about a run once it has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// What was to be done.
    pub plan: Plan,
    /// Where and how it was done.
    pub setting: Setting,
    /// The witnesses added up, with every doubt and the prediction for the seed.
    pub report: Report,
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
    /// How often the path had a chance to break its claim; `None`: not known.
    pub exposures: Option<u64>,
}

/// Where and how an experiment was run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Setting {
    /// The name of the experiment.
    pub experiment: String,
    /// The file that it was read from; `None` on a cluster, and for standard input.
    pub file: Option<String>,
    /// The number of payments in flight, where the command line has replaced the file's.
    pub concurrency: Option<i32>,
    /// The option with which the command line named the user's own service, such as `--target http://127.0.0.1:9000`.
    pub target: Option<String>,
    /// The database that held the ledger, such as `sqlite`; `None`: not known.
    pub database: Option<String>,
    /// The directory in which the evidence of the run is kept; `None`: it is not kept.
    pub evidence: Option<String>,
    /// The time from the start of the first part to the verdict; `None`: not measured.
    pub elapsed: Option<Duration>,
    /// The runs that are added up; `None`: it is one run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<Series>,
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
    pub fn of(plan: &Plan, mut report: Report, setting: Setting) -> Self {
        doubt_run(plan, &mut report);
        Self::conclude(plan, report, setting)
    }

    /// Concludes from the report of one of several workers. What only the whole run can show is left out.
    #[must_use]
    pub fn of_share(plan: &Plan, report: Report, setting: Setting) -> Self {
        Self::conclude(plan, report, setting)
    }

    /// Concludes again from the report of a whole run that was kept with its doubts.
    #[must_use]
    pub fn of_kept(plan: &Plan, report: Report, setting: Setting) -> Self {
        Self::conclude(plan, report, setting)
    }

    fn conclude(plan: &Plan, report: Report, setting: Setting) -> Self {
        let broken = broken(plan, &report);
        let (verdict, reason) = match (broken.first(), report.doubts.keys().next()) {
            (Some(worst), _) => (Verdict::Violated, Reason::Broken(*worst)),
            (None, Some(doubt)) => (Verdict::Inconclusive, Reason::Doubted(*doubt)),
            (None, None) => (Verdict::Upheld, Reason::ClaimHeld),
        };
        let exposures = report.exposures.map(|exposures| exposures.count(ExposureKind::of(plan.claim, &plan.client)));
        let observed = observed(&report);
        let findings = findings(plan, &report);
        let theory = Theory::of(plan);
        Self { plan: plan.clone(), setting, report, theory, verdict, observed, reason, broken, findings, exposures }
    }

    /// Whether the evidence can show an anomaly, if there is one. Else nothing is known about it.
    #[must_use]
    pub fn can_show(&self, anomaly: Anomaly) -> bool {
        can_show(&self.report, anomaly)
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
    let is_found = |anomaly: Anomaly| match anomaly.basis() {
        // What one worker's evidence shows is true even if another's says nothing.
        Basis::History | Basis::Ledger | Basis::Record | Basis::Total => report.count(anomaly) > 0,
        Basis::OneSender | Basis::TotalOfOneSender => report.count(anomaly) > 0 && can_show(report, anomaly),
    };
    Anomaly::ALL.into_iter().filter(|anomaly| anomaly.violates(plan.claim) && is_found(*anomaly)).collect()
}

/// Whether the evidence of the whole run suffices to show an anomaly.
fn can_show(report: &Report, anomaly: Anomaly) -> bool {
    match anomaly.basis() {
        Basis::History => true,
        Basis::Ledger => report.ledger.is_some(),
        Basis::Record => report.ledger.is_some() && report.record.is_some(),
        Basis::OneSender => report.ledger.is_some() && report.is_one_sender(),
        Basis::Total => report.total.is_some(),
        Basis::TotalOfOneSender => report.total.is_some() && report.is_one_sender(),
    }
}

/// What the path was seen to do; `None` without the whole ledger of the whole run.
fn observed(report: &Report) -> Option<Observed> {
    let is_void =
        [Doubt::ReportMissing, Doubt::EnvironmentChanged].iter().any(|doubt| report.doubts.contains_key(doubt));
    let ledger = report.ledger.as_ref().filter(|_| !is_void)?;
    let missing = report.payments.intended > ledger.booked;
    // The sum beyond one entry each is zero exactly when no payment has two.
    Some(match (missing, ledger.excess_minor > 0) {
        (true, false) => Observed::AtMostOnce,
        (false, true) => Observed::AtLeastOnce,
        (false, false) => Observed::ExactlyOnce,
        (true, true) => Observed::Neither,
    })
}
