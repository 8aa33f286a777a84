//! Findings: what is unexpected about a run and does not change its verdict.

use crate::{
    judge::report::Report,
    outcome::totals::Total,
    plan::Plan,
    prediction::{depends_on_timing, repeats_are_exact},
};

/// One unexpected thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// This many attempts timed out, and no fault ordered it.
    Timeouts(u64),
    /// This many connections could not be made and were tried again.
    Unreached(u64),
    /// A measured total is not the predicted one.
    Differs {
        /// Which total.
        total: Total,
        /// Its measured value.
        measured: u64,
        /// Its predicted value.
        predicted: u64,
    },
}

/// What is unexpected about a run. Nothing is compared with a prediction that does not exist.
pub(super) fn findings(plan: &Plan, report: &Report) -> Vec<Finding> {
    let mut findings = Vec::new();
    if report.attempts.unreached > 0 {
        findings.push(Finding::Unreached(report.attempts.unreached));
    }
    let Some(prediction) = &report.prediction else { return findings };
    let timeouts = report.attempts.timeouts.saturating_sub(prediction.timeouts);
    if timeouts > 0 {
        findings.push(Finding::Timeouts(timeouts));
    }
    if depends_on_timing(plan).is_some() {
        return findings;
    }
    for total in Total::ALL.into_iter().filter(|total| *total != Total::Repeats || repeats_are_exact(plan)) {
        let predicted = total.predicted(prediction);
        if let Some(measured) = total.measured(report).filter(|measured| *measured != predicted) {
            findings.push(Finding::Differs { total, measured, predicted });
        }
    }
    findings
}
