//! The status of the custom resource, which is also what `paylab run --output json` prints.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    money::MinorUnits,
    plan::Plan,
    predict::{Prediction, depends_on, repeats_are_exact},
    report::{Class, Report},
    spec::Claim,
    theory::Theory,
    totals::Total,
    verdict::Conclusion,
};

/// So many samples and findings are shown at most.
const LISTED_MAX: usize = 10;

/// What an experiment has come to.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ChaosExperimentStatus {
    /// The generation of the spec this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How far it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Names the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// The seed that decided every fate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// Absent until the judge spoke.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// What the evidence shows the path to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<Observed>,
    /// One word for the verdict's reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The verdict in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// While the load runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressStatus>,
    /// The money, as exact decimals in major units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerStatus>,
    /// The payments by what became of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payments: Option<PaymentsStatus>,
    /// The attempts by what the client may believe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<AttemptsStatus>,
    /// What broke.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultStatus>,
    /// The lab's own instruments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lab: Option<LabStatus>,
    /// What should have happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prediction: Option<PredictionStatus>,
    /// The first payments that prove the verdict, at most 10.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub samples: Vec<SampleStatus>,
    /// When the operator began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When the verdict was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// Accepted, EnvironmentReady, LoadComplete, FaultsDelivered, LedgerReconciled, Verified, Ready, Stalled.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// How far an experiment is: computed from what is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Accepted, nothing made.
    Pending,
    /// The parts are starting.
    Preparing,
    /// The load runs.
    Loading,
    /// The ledger is being read and judged.
    Reconciling,
    /// The verdict is there.
    Completed,
    /// There will be no verdict.
    Failed,
}

/// Whether the claim held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Verdict {
    /// The evidence agrees with the claim.
    Upheld,
    /// The evidence breaks the claim.
    Violated,
    /// The lab cannot say.
    Inconclusive,
}

/// What the evidence shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Observed {
    /// Some missing, none twice.
    AtMostOnce,
    /// None missing, some twice.
    AtLeastOnce,
    /// Neither missing nor twice.
    ExactlyOnce,
    /// Some missing and some twice.
    Neither,
}

/// How far the load is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ProgressStatus {
    /// Payments intended.
    pub payments: i64,
    /// Payments acknowledged so far.
    pub acknowledged: i64,
    /// Attempts so far.
    pub attempts: i64,
}

/// The money, as exact decimals in major units.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LedgerStatus {
    /// The currency's three letters.
    pub currency: String,
    /// What should have been booked.
    pub intended: String,
    /// What was booked.
    pub booked: String,
    /// Booked less intended.
    pub difference: String,
    /// Rows of the ledger.
    pub entries: i64,
}

/// The payments by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PaymentsStatus {
    /// Payments of the experiment.
    pub intended: i64,
    /// The client saw an acknowledgement.
    pub acknowledged: i64,
    /// At least one entry.
    pub booked: i64,
    /// No entry.
    pub lost: i64,
    /// Two entries or more.
    pub duplicated: i64,
    /// Entries that nobody asked for.
    pub phantom: i64,
    /// An amount or party differs from what was asked for.
    pub mismatched: i64,
    /// The client cannot know.
    pub unknown: i64,
}

/// The attempts by what the client may believe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AttemptsStatus {
    /// All attempts.
    pub total: i64,
    /// A 2xx was read in full.
    pub acknowledged: i64,
    /// It may have been booked or not.
    pub unknown: i64,
    /// Certainly without effect.
    pub rejected: i64,
    /// Acknowledged as a repeat of a booked payment.
    pub repeats: i64,
}

/// What one fault did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FaultStatus {
    /// The fault's name.
    pub name: String,
    /// As in the spec, as text.
    pub probability: String,
    /// Coins drawn.
    pub drawn: i64,
    /// Coins that fired.
    pub fired: i64,
    /// Attempts on which it took effect.
    pub effective: i64,
}

/// The lab's own instruments.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LabStatus {
    /// Requests in the proxy's record.
    pub recorded: i64,
    /// Requests forwarded whole to the service.
    pub forwarded: i64,
    /// Attempts on which a fault took effect.
    pub struck: i64,
    /// Resets that no fault ordered.
    pub unintended_resets: i64,
    /// Chances the path had to break its claim.
    pub exposures: i64,
    /// What the lab found wrong with itself or unexpected; at most 10.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub findings: Vec<String>,
}

/// What should have happened.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PredictionStatus {
    /// Exact for this seed; absent where the result depends on timing.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub exact: BTreeMap<String, i64>,
    /// Why there is no exact prediction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depends_on: Option<String>,
    /// In theory, with the interval that holds 95 % of all seeds.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub theory: BTreeMap<String, TheoryStatus>,
}

/// A mean and the interval that holds 95 % of all seeds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TheoryStatus {
    /// With one decimal.
    pub mean: String,
    /// The lower bound.
    pub low: i64,
    /// The upper bound.
    pub high: i64,
}

/// One payment that proves the verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SampleStatus {
    /// Its index.
    pub payment: i64,
    /// What is wrong with it.
    pub class: String,
    /// How often it was tried.
    pub attempts: i64,
    /// How often it was booked.
    pub entries: i64,
}

impl Claim {
    /// As it is written in the spec.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AtMostOnce => "AtMostOnce",
            Self::AtLeastOnce => "AtLeastOnce",
            Self::ExactlyOnce => "ExactlyOnce",
        }
    }
}

impl ChaosExperimentStatus {
    /// The status of a judged run.
    #[must_use]
    pub fn judged(plan: &Plan, report: &Report, prediction: &Prediction, conclusion: &Conclusion) -> Self {
        Self {
            phase: Some(Phase::Completed),
            run_id: Some(report.run_id.clone()),
            seed: Some(signed(plan.seed())),
            verdict: Some(conclusion.verdict),
            observed: conclusion.observed,
            reason: Some(conclusion.reason.clone()),
            message: Some(conclusion.sentence.clone()),
            ledger: Some(ledger_status(plan, report)),
            payments: Some(payments_status(report)),
            attempts: Some(attempts_status(report)),
            faults: fault_statuses(plan, report),
            lab: Some(lab_status(report, conclusion)),
            prediction: Some(PredictionStatus::of(plan, prediction)),
            samples: samples(report, conclusion),
            ..Self::default()
        }
    }
}

impl PredictionStatus {
    /// What should happen, for this seed and in theory.
    #[must_use]
    pub fn of(plan: &Plan, prediction: &Prediction) -> Self {
        let depends_on = depends_on(plan).map(str::to_owned);
        let certain = |total: &Total| depends_on.is_none() && (*total != Total::Repeats || repeats_are_exact(plan));
        let exact = Total::ALL.into_iter().filter(certain);
        let theory = Theory::of(plan).map(|theory| Total::ALL.map(|total| (total, total.expected(&theory))));
        let shown = theory.into_iter().flatten().map(|(total, estimate)| {
            let (low, high) = (signed(estimate.low), signed(estimate.high));
            (total.field().to_owned(), TheoryStatus { mean: format!("{:.1}", estimate.mean), low, high })
        });
        Self {
            exact: exact.map(|total| (total.field().to_owned(), signed(total.predicted(prediction)))).collect(),
            theory: shown.collect(),
            depends_on,
        }
    }
}

fn ledger_status(plan: &Plan, report: &Report) -> LedgerStatus {
    LedgerStatus {
        currency: plan.currency.clone(),
        intended: plan.intended().to_string(),
        booked: MinorUnits(report.booked_minor).to_string(),
        difference: MinorUnits(report.booked_minor - plan.intended().0).to_string(),
        entries: signed(report.entries),
    }
}

fn payments_status(report: &Report) -> PaymentsStatus {
    PaymentsStatus {
        intended: signed(report.payments.intended),
        acknowledged: signed(report.payments.acknowledged),
        booked: signed(report.payments.booked),
        lost: signed(Total::Lost.measured(report)),
        duplicated: signed(report.count(Class::Duplicated)),
        phantom: signed(report.count(Class::Phantom)),
        mismatched: signed(report.count(Class::Mismatched)),
        unknown: signed(report.payments.unknown),
    }
}

fn attempts_status(report: &Report) -> AttemptsStatus {
    AttemptsStatus {
        total: signed(report.attempts.total),
        acknowledged: signed(report.attempts.acknowledged),
        unknown: signed(report.attempts.unknown),
        rejected: signed(report.attempts.rejected),
        repeats: signed(report.attempts.repeats),
    }
}

fn fault_statuses(plan: &Plan, report: &Report) -> Vec<FaultStatus> {
    let shown = plan.faults.iter().zip(&report.faults).map(|(fault, tally)| FaultStatus {
        name: fault.name.clone(),
        probability: fault.probability.to_string(),
        drawn: signed(tally.drawn),
        fired: signed(tally.fired),
        effective: signed(tally.effective),
    });
    shown.collect()
}

fn lab_status(report: &Report, conclusion: &Conclusion) -> LabStatus {
    let findings = conclusion.doubts.iter().chain(&conclusion.findings);
    LabStatus {
        recorded: signed(report.lab.recorded),
        forwarded: signed(report.lab.forwarded),
        struck: signed(report.faults.iter().map(|fault| fault.effective).sum()),
        unintended_resets: signed(report.lab.unintended_resets),
        exposures: signed(conclusion.exposures),
        findings: findings.take(LISTED_MAX).cloned().collect(),
    }
}

/// The payments that prove the verdict; where no class breaks the claim, whatever is not booked exactly once.
fn samples(report: &Report, conclusion: &Conclusion) -> Vec<SampleStatus> {
    let proving = |class: &Class| conclusion.broken.is_empty() || conclusion.broken.contains(class);
    let classes = report.cases.iter().filter(|(class, _)| proving(class));
    let cases = classes.flat_map(|(class, cases)| cases.first.iter().map(move |case| (class, case)));
    let shown = cases.take(LISTED_MAX).map(|(class, case)| SampleStatus {
        payment: signed(case.payment),
        class: format!("{class:?}"),
        attempts: signed(case.attempts),
        entries: signed(case.entries),
    });
    shown.collect()
}

/// Counts as the API server's integers.
fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
