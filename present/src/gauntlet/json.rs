//! The table for programs: one object.

use paylab_core::{exposures::ExposureKind, judge::anomaly::Anomaly};
use serde::Serialize;

use super::{Cell, Finding, Gauntlet, Smallest, expected_word};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GauntletJson<'a> {
    gauntlet: &'a str,
    claim: &'a str,
    /// Whether every cell is as expected; null: at least one is inconclusive, and none is otherwise.
    as_expected: Option<bool>,
    /// The conclusion as sentences.
    message: String,
    elapsed_seconds: f64,
    rows: Vec<RowJson<'a>>,
    smallest: Option<SmallestJson<'a>>,
}

#[derive(Debug, Serialize)]
struct RowJson<'a> {
    subject: &'a str,
    cells: Vec<CellJson<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CellJson<'a> {
    nemesis: &'a str,
    title: &'a str,
    imitates: &'a str,
    /// `holds`, `blind`, `broken`, `unknown` or `impossible`.
    result: &'static str,
    /// As the table shows it.
    text: String,
    /// The worst anomaly that breaks the claim.
    class: Option<Anomaly>,
    /// How many payments have it.
    payments: Option<u64>,
    /// How often the claim was put to the test.
    exposures: Option<u64>,
    /// By what.
    exposed_by: Option<&'static str>,
    /// The bug rate is below this with 95 % confidence.
    bug_rate_bound: Option<f64>,
    expected: &'static str,
    as_expected: Option<bool>,
    message: String,
    experiment: Option<&'a str>,
    seed: Option<u64>,
    run_id: Option<&'a str>,
    elapsed_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SmallestJson<'a> {
    command: Option<&'a str>,
    payments: Option<u64>,
    attempts: Option<u64>,
    shown: Option<u32>,
    runs: Option<u32>,
    ended_early: Option<&'a str>,
    message: String,
}

/// A gauntlet as JSON.
///
/// # Errors
/// None that is known: every field can be written as JSON.
pub fn gauntlet(gauntlet: &Gauntlet) -> serde_json::Result<String> {
    let rows =
        gauntlet.rows.iter().map(|row| RowJson { subject: &row.subject, cells: row.cells.iter().map(cell).collect() });
    let verdicts: Vec<_> = gauntlet.cells().map(|(_, cell)| cell.as_expected).collect();
    let as_expected = if verdicts.contains(&Some(false)) {
        Some(false)
    } else {
        verdicts.into_iter().collect::<Option<Vec<_>>>().map(|_| true)
    };
    serde_json::to_string_pretty(&GauntletJson {
        gauntlet: &gauntlet.name,
        claim: gauntlet.claim,
        as_expected,
        message: gauntlet.conclusion(),
        elapsed_seconds: gauntlet.elapsed.as_secs_f64(),
        rows: rows.collect(),
        smallest: gauntlet.smallest.as_ref().map(smallest),
    })
}

fn cell(cell: &Cell) -> CellJson<'_> {
    let (result, class, payments, exposures) = match &cell.finding {
        Finding::Holds { exposures } => ("holds", None, None, Some(*exposures)),
        Finding::Blind { exposures } => ("blind", None, None, Some(*exposures)),
        Finding::Broken { anomaly, payments } => ("broken", Some(*anomaly), Some(*payments), None),
        Finding::Unknown { .. } => ("unknown", None, None, None),
        Finding::Impossible { .. } => ("impossible", None, None, None),
    };
    let outcome = cell.outcome.as_deref();
    let kind = outcome.filter(|_| exposures.is_some()).map(|outcome| match cell.kind(outcome) {
        ExposureKind::Repeats => "repeats",
        ExposureKind::Undelivered => "undelivered",
        ExposureKind::Arrived => "arrived",
    });
    CellJson {
        nemesis: cell.nemesis.name,
        title: cell.nemesis.title,
        imitates: cell.nemesis.imitates,
        result,
        text: cell.finding.to_string(),
        class,
        payments,
        exposures,
        exposed_by: kind,
        bug_rate_bound: cell.bound(),
        expected: expected_word(cell.expected),
        as_expected: cell.as_expected,
        message: cell.detail(),
        experiment: outcome.map(|outcome| outcome.setting.experiment.as_str()),
        seed: outcome.map(|outcome| outcome.plan.seed()),
        run_id: outcome.map(|outcome| outcome.report.run_id.as_str()),
        elapsed_seconds: outcome.and_then(|outcome| outcome.setting.elapsed).map(|elapsed| elapsed.as_secs_f64()),
    }
}

fn smallest(smallest: &Smallest) -> SmallestJson<'_> {
    let message = smallest.to_string();
    match smallest {
        Smallest::Found { command, payments, attempts, shown: (shown, runs), ended_early } => SmallestJson {
            command: Some(command),
            payments: Some(*payments),
            attempts: Some(*attempts),
            shown: Some(*shown),
            runs: Some(*runs),
            ended_early: ended_early.as_deref(),
            message,
        },
        Smallest::Missing { .. } => SmallestJson {
            command: None,
            payments: None,
            attempts: None,
            shown: None,
            runs: None,
            ended_early: None,
            message,
        },
    }
}
