//! The table as JUnit XML: one suite for each subject, one case for each nemesis.

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::{Cell, Finding, Gauntlet, Row};

/// A gauntlet as JUnit XML. What is not as expected is a failure, what is not known an error.
///
/// # Errors
/// A name or a sentence cannot be written as XML.
pub fn gauntlet(gauntlet: &Gauntlet) -> Result<String, SerializeError> {
    let mut report = Report::new("paylab gauntlet");
    report.add_test_suites(gauntlet.rows.iter().map(|row| suite(gauntlet, row)));
    report.to_string()
}

fn suite(gauntlet: &Gauntlet, row: &Row) -> TestSuite {
    let mut suite = TestSuite::new(format!("{}: {}", gauntlet.name, row.subject));
    suite.add_property(("claim", gauntlet.claim));
    suite.add_property(("conclusion", gauntlet.conclusion().as_str()));
    suite.add_test_cases(row.cells.iter().map(|cell| case(gauntlet, row, cell)));
    suite
}

fn case(gauntlet: &Gauntlet, row: &Row, cell: &Cell) -> TestCase {
    let detail = cell.detail();
    let status = match (&cell.finding, cell.as_expected) {
        (Finding::Impossible { .. }, _) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(detail.as_str());
            status
        }
        (_, Some(true)) => TestCaseStatus::success(),
        (_, Some(false)) => failed(NonSuccessKind::Failure, gauntlet, cell, &detail),
        (_, None) => failed(NonSuccessKind::Error, gauntlet, cell, &detail),
    };
    let mut case = TestCase::new(cell.nemesis.name, status);
    case.set_classname(format!("{}.{}", gauntlet.name, row.subject));
    case.set_system_out(format!("{}\n{}: {detail}", cell.nemesis.imitates, cell.finding));
    if let Some(elapsed) = cell.outcome.as_ref().and_then(|outcome| outcome.setting.elapsed) {
        case.set_time(elapsed);
    }
    case
}

fn failed(kind: NonSuccessKind, gauntlet: &Gauntlet, cell: &Cell, detail: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    let again = format!("{} --only {}", gauntlet.command, cell.nemesis.name);
    status
        .set_type(cell.finding.to_string())
        .set_message(detail)
        .set_description(format!("{detail}\nrepeat it: {again}"));
    status
}
