//! The status of the custom resource, which is also what `paylab run --output json` prints.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use paylab_core::claim::{Observed, Verdict};

/// At most this many samples and findings are listed.
pub const LISTED_MAX: usize = 10;

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
