//! JSON for programs: one object with the fields of the resource's status and all that the status has no space for.

use paylab_core::{
    claim::{Claim, Expectation},
    judge::{
        anomaly::{Anomaly, Example},
        doubt::{Doubt, DoubtNote},
    },
    outcome::{Outcome, series::Series},
    plan::Plan,
    prediction::Prediction,
    witness::answers::Answers,
};
use paylab_resource::status::ChaosExperimentStatus;
use serde::Serialize;

use crate::{sentence, status};

/// An outcome, as JSON shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OutcomeJson<'a> {
    experiment: &'a str,
    claim: Claim,
    expect: Expectation,
    /// Whether the verdict is the expected one; null: it is inconclusive.
    as_expected: Option<bool>,
    #[serde(flatten)]
    status: ChaosExperimentStatus,
    /// What came back to the client, by status.
    answers: &'a Answers,
    anomalies: Vec<AnomalyJson<'a>>,
    doubts: Vec<DoubtJson<'a>>,
    /// What is unexpected and does not change the verdict, as sentences.
    findings: Vec<String>,
    /// The runs that are added up, if they are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    series: Option<&'a Series>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AnomalyJson<'a> {
    kind: Anomaly,
    /// Whether it is a reason of the verdict.
    breaks_claim: bool,
    /// How many payments have it; phantoms are entries.
    count: u64,
    /// The first of these payments.
    examples: &'a [Example],
    text: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DoubtJson<'a> {
    kind: Doubt,
    #[serde(flatten)]
    note: &'a DoubtNote,
    text: String,
}

/// An outcome as JSON.
///
/// # Errors
/// None that is known: every field can be written as JSON.
pub fn outcome(outcome: &Outcome) -> serde_json::Result<String> {
    let anomalies = Anomaly::ALL.into_iter().filter(|kind| outcome.report.count(*kind) > 0).map(|kind| AnomalyJson {
        kind,
        breaks_claim: outcome.broken.contains(&kind),
        count: outcome.report.count(kind),
        examples: outcome.report.anomalies.get(&kind).map_or(&[], |examples| &examples.first),
        text: sentence::broken_by(outcome, kind),
    });
    let doubts = outcome.report.doubts.iter();
    serde_json::to_string_pretty(&OutcomeJson {
        experiment: &outcome.setting.experiment,
        claim: outcome.plan.claim,
        expect: outcome.plan.expect,
        as_expected: outcome.is_as_expected(),
        status: status::outcome(outcome),
        answers: &outcome.report.answers,
        anomalies: anomalies.collect(),
        doubts: doubts
            .map(|(kind, note)| DoubtJson { kind: *kind, note, text: sentence::doubt(*kind, note) })
            .collect(),
        findings: sentence::findings(outcome),
        series: outcome.setting.series.as_ref(),
    })
}

/// A prediction as JSON: the field `prediction` of a status.
///
/// # Errors
/// None that is known: every field of a status can be written as JSON.
pub fn prediction(plan: &Plan, prediction: &Prediction) -> serde_json::Result<String> {
    serde_json::to_string_pretty(&status::prediction(plan, Some(prediction)))
}
