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
    /// The `metadata.generation` of the resource that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How far the experiment has come. It is absent until the operator has seen the resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The identity of the run. References and idempotency keys of its payments begin with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// The seed that decided which attempts met which faults: `spec.seed`, or the one that was drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// Whether the claim held. It is absent until the run was judged, and for ever if the experiment has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// What the path did according to the ledger, whatever was claimed. It is absent if the ledger could not be read completely.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<Observed>,
    /// The reason of the verdict or of the failure, as one word; see the section about reasons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The verdict as a sentence; before it, what the experiment waits for, if that takes long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How far the load has come. It is only there while the load runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressStatus>,
    /// The sums of the ledger, as exact decimals in major units. It is absent until the run was judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerStatus>,
    /// The numbers of payments, by what became of them. It is absent until the run was judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payments: Option<PaymentsStatus>,
    /// The numbers of attempts, by what the client knows about them. It is absent until the run was judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<AttemptsStatus>,
    /// What each fault did, in the order of `spec.faults`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultStatus>,
    /// What the instruments of the lab have counted: the proxy's record, the exposures and the findings. It is absent until the run was
    /// judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lab: Option<LabStatus>,
    /// What should have happened, for this seed and on average over all seeds. It is absent until the run was judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prediction: Option<PredictionStatus>,
    /// The first payments that prove a `Violated` verdict, at most 10. If nothing breaks the claim, the first payments that were not
    /// booked exactly once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub samples: Vec<SampleStatus>,
    /// The time at which the operator began to work on the experiment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// The time at which the experiment ended, with or without a verdict. Afterwards the status does not change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// The conditions of the experiment, such as `Verified`, for `kubectl wait` and other tools; see the section about conditions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// How far an experiment has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// The spec is accepted, and the experiment waits for its turn.
    Pending,
    /// The payment service and the proxy are starting.
    Preparing,
    /// The load sends payments.
    Loading,
    /// The ledger is being read and judged.
    Reconciling,
    /// The experiment has ended with a verdict.
    Completed,
    /// The experiment has ended without a verdict.
    Failed,
}

/// How far the load has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ProgressStatus {
    /// The number of payments that the experiment makes.
    pub payments: i64,
    /// The number of payments that were acknowledged so far.
    pub acknowledged: i64,
    /// The number of attempts so far.
    pub attempts: i64,
}

/// The sums of the ledger, as exact decimals in major units.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LedgerStatus {
    /// The currency, as its three letters.
    pub currency: String,
    /// The sum that should have been booked, in major units: the amount times the number of payments.
    pub intended: String,
    /// The sum that was booked, in major units. It is absent if the ledger could not be read completely.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub booked: Option<String>,
    /// The booked sum less the intended sum, in major units. It is negative if money is missing, and absent if the ledger could not be
    /// read completely.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<String>,
    /// The number of entries of the ledger, which are bookings of payments. It is absent if the ledger could not be read completely.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries: Option<i64>,
}

/// The numbers of payments, by what became of them. What the evidence does not say is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PaymentsStatus {
    /// The number of payments that the experiment makes.
    pub intended: i64,
    /// The number of payments for which the client received an acknowledgement.
    pub acknowledged: i64,
    /// The number of payments with at least one entry in the ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub booked: Option<i64>,
    /// The number of payments without an entry in the ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<i64>,
    /// The number of payments with two or more entries in the ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicated: Option<i64>,
    /// The number of entries that no payment of the experiment asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phantom: Option<i64>,
    /// The number of payments whose amount or accounts in the ledger differ from what was asked for or acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mismatched: Option<i64>,
    /// The number of payments that the service refused for good and did not book. They break no claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<i64>,
    /// The number of payments of which the client was never told what became of them, however often it asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stuck: Option<i64>,
    /// The number of payments of which the client does not know whether they were booked.
    pub unknown: i64,
}

/// The numbers of attempts, by what the client knows about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AttemptsStatus {
    /// The number of all attempts.
    pub total: i64,
    /// The number of attempts whose response was 200, 201, 202 or 208 and was received completely.
    pub acknowledged: i64,
    /// The number of attempts of which the client does not know whether they were booked, such as after a reset or a timeout.
    pub unknown: i64,
    /// The number of attempts that were certainly not booked: no connection was made, or the service refused the request for good.
    pub rejected: i64,
    /// The number of attempts that the service acknowledged as repeats of a payment that it had booked before.
    pub repeats: i64,
}

/// What one fault did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FaultStatus {
    /// The name of the fault.
    pub name: String,
    /// The probability of the fault, as in the spec, as a text.
    pub probability: String,
    /// The number of attempts for which it was decided whether they meet the fault.
    pub drawn: i64,
    /// The number of attempts for which the fault was drawn, also if a fault at an earlier point took effect instead.
    pub fired: i64,
    /// The number of attempts on which the fault took effect.
    pub effective: i64,
}

/// What the instruments of the lab have counted. What could not be read is absent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LabStatus {
    /// The number of requests in the proxy's record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded: Option<i64>,
    /// The number of requests that the proxy forwarded completely to the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwarded: Option<i64>,
    /// The number of attempts on which a fault took effect, over all faults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub struck: Option<i64>,
    /// The number of connections that were reset though no fault ordered it. Any makes the verdict `Inconclusive`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unintended_resets: Option<i64>,
    /// The number of chances that the path had to break its claim; see `spec.minExposures`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposures: Option<i64>,
    /// How many answers of the user's own service each rule in `spec.target.pay.answers` has matched, and how many none has; at most 10
    /// items.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub answers: Vec<String>,
    /// What is doubtful about the evidence, and what is unexpected without changing the verdict, as sentences; at most 10.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub findings: Vec<String>,
}

/// What should have happened, for this seed and on average over all seeds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PredictionStatus {
    /// The exact totals for this seed: `attempts`, `entries`, `acknowledged`, `repeats`, `duplicated`, `lost` and `bookedUnknown`
    /// (payments booked without an acknowledgement to the client). It is empty if the result depends on timing.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub exact: BTreeMap<String, i64>,
    /// What the result depends on besides the seed. It is absent if the prediction is exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depends_on: Option<String>,
    /// The same totals on average over all seeds, with the interval that holds 95 % of the seeds. It is empty if there is no formula.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub theory: BTreeMap<String, TheoryStatus>,
}

/// The mean of a total over all seeds, and the interval that holds 95 % of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TheoryStatus {
    /// The mean over all seeds, with one decimal, as a text.
    pub mean: String,
    /// The lower bound of the interval.
    pub low: i64,
    /// The upper bound of the interval.
    pub high: i64,
}

/// One payment that proves the verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SampleStatus {
    /// The index of the payment, counted from 0.
    pub payment: i64,
    /// What is wrong with the payment: one of the anomalies in the section about reasons.
    pub class: String,
    /// The number of attempts that were made for the payment.
    pub attempts: i64,
    /// The number of entries of the payment in the ledger.
    pub entries: i64,
}
