//! Findings: what is unexpected about a run and does not change its verdict.

use crate::{
    judge::report::Report,
    outcome::totals::Total,
    plan::Plan,
    prediction::{Prediction, depends_on_timing, repeats_are_exact},
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

/// What is unexpected about a run.
pub(super) fn findings(plan: &Plan, report: &Report, prediction: &Prediction) -> Vec<Finding> {
    let mut findings = Vec::new();
    let timeouts = report.attempts.timeouts.saturating_sub(prediction.timeouts);
    if timeouts > 0 {
        findings.push(Finding::Timeouts(timeouts));
    }
    if report.attempts.unreached > 0 {
        findings.push(Finding::Unreached(report.attempts.unreached));
    }
    if depends_on_timing(plan).is_none() {
        for total in Total::ALL {
            let (measured, predicted) = (total.measured(report), total.predicted(prediction));
            if measured != predicted && (total != Total::Repeats || repeats_are_exact(plan)) {
                findings.push(Finding::Differs { total, measured, predicted });
            }
        }
    }
    findings
}
