//! JUnit XML for pipelines: one case for each invariant of the claim and one for each reason to doubt the evidence. A broken
//! invariant is a failure, a doubt an error, each with its sentence and the command that repeats the run.

use paylab_core::{
    judge::{anomaly::Anomaly, doubt::Doubt},
    outcome::Outcome,
};
use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use crate::sentence;

/// The suites of several outcomes, one for each experiment.
///
/// # Errors
/// A name or a sentence cannot be written as XML.
pub fn outcomes<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Result<String, SerializeError> {
    let mut report = Report::new("paylab");
    report.add_test_suites(outcomes.into_iter().map(suite));
    report.to_string()
}

fn suite(outcome: &Outcome) -> TestSuite {
    let mut suite = TestSuite::new(outcome.setting.experiment.as_str());
    if let Some(elapsed) = outcome.setting.elapsed {
        suite.set_time(elapsed);
    }
    suite.add_property(("seed", outcome.plan.seed().to_string().as_str()));
    suite.add_property(("run-id", outcome.report.run_id.as_str()));
    suite.add_property(("verdict", format!("{:?}", outcome.verdict).as_str()));
    suite.add_property(("expect", format!("{:?}", outcome.plan.expect).as_str()));
    suite.add_test_case(verdict(outcome));
    let invariants = Anomaly::ALL.into_iter().filter(|anomaly| anomaly.violates(outcome.plan.claim));
    suite.add_test_cases(invariants.map(|anomaly| invariant(outcome, anomaly)));
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
fn invariant(outcome: &Outcome, anomaly: Anomaly) -> TestCase {
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
    case(outcome, "invariant", kind, status)
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
