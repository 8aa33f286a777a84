//! JUnit XML for pipelines: one case for each invariant of the claim and one for each reason to doubt the evidence. A broken
//! invariant is a failure, a doubt an error, each with its sentence and the command that repeats the run.

use paylab_core::{
    judge::{anomaly::Anomaly, doubt::Doubt},
    outcome::{Outcome, totals::Total},
};
use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use crate::{measured::Measured, run::Run, sentence, text::TextReport};

/// At most this many payments are told of each broken invariant.
const TOLD: usize = 3;

/// The suites of several runs, one for each experiment.
///
/// # Errors
/// A name or a sentence cannot be written as XML.
pub fn runs(runs: &[Run<'_>]) -> Result<String, SerializeError> {
    let mut report = Report::new("paylab");
    report.add_test_suites(runs.iter().map(suite));
    report.to_string()
}

fn suite(run: &Run<'_>) -> TestSuite {
    let outcome = run.outcome;
    let mut suite = TestSuite::new(outcome.setting.experiment.as_str());
    if let Some(elapsed) = outcome.setting.elapsed {
        suite.set_time(elapsed);
    }
    suite.add_property(("seed", outcome.plan.seed().to_string().as_str()));
    suite.add_property(("run-id", outcome.report.run_id.as_str()));
    suite.add_property(("verdict", format!("{:?}", outcome.verdict).as_str()));
    suite.add_property(("expect", format!("{:?}", outcome.plan.expect).as_str()));
    suite.add_property(("reason", outcome.reason.to_string().as_str()));
    for total in Total::ALL {
        if let Some(measured) = total.measured(&outcome.report) {
            suite.add_property((format!("measured-{}", total.field()).as_str(), measured.to_string().as_str()));
        }
    }
    if let Some(exposures) = outcome.exposures {
        suite.add_property(("exposures", exposures.to_string().as_str()));
    }
    for (index, finding) in sentence::findings(outcome).iter().enumerate() {
        suite.add_property((format!("finding-{}", index + 1).as_str(), finding.as_str()));
    }
    suite.set_system_out(anstream::adapter::strip_str(&TextReport(outcome).to_string()).to_string());
    suite.add_test_case(verdict(outcome));
    let invariants = Anomaly::ALL.into_iter().filter(|anomaly| anomaly.violates(outcome.plan.claim));
    suite.add_test_cases(invariants.map(|anomaly| invariant(run, anomaly)));
    suite.add_test_cases(Doubt::ALL.into_iter().map(|doubt| evidence(outcome, doubt)));
    suite
}

/// Whether the verdict is the expected one.
fn verdict(outcome: &Outcome) -> TestCase {
    let status = match outcome.is_as_expected() {
        Some(true) => TestCaseStatus::success(),
        Some(false) => failed(NonSuccessKind::Failure, "NotAsExpected", &sentence::verdict(outcome), outcome),
        None => failed(NonSuccessKind::Error, "Inconclusive", &sentence::verdict(outcome), outcome),
    };
    case(outcome, "verdict", format!("{:?} {:?}", outcome.plan.claim, outcome.plan.expect), status)
}

/// Whether an invariant of the claim holds. A lesson may be about a path that breaks it: then it is skipped, with its sentence.
fn invariant(run: &Run<'_>, anomaly: Anomaly) -> TestCase {
    let outcome = run.outcome;
    let kind = format!("{anomaly:?}");
    let status = match (outcome.broken.contains(&anomaly), outcome.is_as_expected()) {
        (false, _) if outcome.can_show(anomaly) => TestCaseStatus::success(),
        (false, _) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message("not known: the evidence does not suffice to show it");
            status
        }
        (true, Some(true)) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(format!("expected: {}", sentence::broken_by(outcome, anomaly)));
            status
        }
        (true, Some(false) | None) => {
            failed(NonSuccessKind::Failure, &kind, &sentence::broken_by(outcome, anomaly), outcome)
        }
    };
    let mut case = case(outcome, "invariant", kind, status);
    if outcome.broken.contains(&anomaly) {
        let plan = &outcome.plan;
        let told: Vec<_> =
            run.showing(anomaly).into_iter().take(TOLD).map(|story| Measured { plan, story }.to_string()).collect();
        if !told.is_empty() {
            case.set_system_out(told.join("\n\n"));
        }
    }
    case
}

/// Whether the evidence is free of a doubt.
fn evidence(outcome: &Outcome, doubt: Doubt) -> TestCase {
    let kind = format!("{doubt:?}");
    let status = match outcome.report.doubts.get(&doubt) {
        None => TestCaseStatus::success(),
        Some(note) => failed(NonSuccessKind::Error, &kind, &sentence::doubt(doubt, note), outcome),
    };
    case(outcome, "evidence", kind, status)
}

fn failed(kind: NonSuccessKind, reason: &str, sentence: &str, outcome: &Outcome) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(reason).set_message(sentence);
    if let Some(command) = sentence::repeat_command(outcome) {
        status.set_description(format!("{sentence}\nrepeat it: {command}"));
    }
    status
}

fn case(outcome: &Outcome, group: &str, name: String, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(format!("{}.{group}", outcome.setting.experiment));
    case
}
