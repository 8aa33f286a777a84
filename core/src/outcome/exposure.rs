//! Exposures: the chances that the path had to break its claim. A claim that was never put to the test is not upheld.

use crate::{
    claim::Claim,
    judge::{
        doubt::{Doubt, DoubtNote},
        report::Report,
    },
    plan::Plan,
    prediction::{Prediction, depends_on_timing},
};

/// This many exposures are required where the spec names no number and the plan can deliver them.
pub const EXPOSURES_WANTED: u64 = 100;
/// The error that the bound of the bug rate allows: one in twenty.
const RISK: f64 = 0.05;

/// The largest bug rate per exposure that is compatible with this many exposures without a bug, with 95 % confidence.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
pub fn bug_rate_bound(exposures: u64) -> f64 {
    if exposures == 0 { 1.0 } else { 1.0 - RISK.powf(1.0 / exposures as f64) }
}

/// How often the path had a chance to break the claim: repeats of a request that had arrived, or attempts that did not arrive.
pub(super) const fn exposures(claim: Claim, attempts: u64, forwarded: u64, repeats_forwarded: u64) -> u64 {
    match claim {
        Claim::AtMostOnce | Claim::ExactlyOnce => repeats_forwarded,
        Claim::AtLeastOnce => attempts.saturating_sub(forwarded),
    }
}

/// The doubt that the path had too few chances to break its claim.
pub(super) fn doubt_exposures(plan: &Plan, prediction: &Prediction, measured: u64, report: &mut Report) {
    let once = plan.client.max_attempts == Some(1);
    if plan.claim == Claim::AtMostOnce && once {
        return;
    }
    let exact = exposures(plan.claim, prediction.attempts, prediction.forwarded, prediction.exposures);
    let deliverable = if depends_on_timing(plan).is_some() { exact / 2 } else { exact };
    let required = plan.min_exposures.unwrap_or_else(|| deliverable.clamp(1, EXPOSURES_WANTED));
    if measured < required {
        let what = match plan.claim {
            Claim::AtMostOnce | Claim::ExactlyOnce => "repeats of a payment that had arrived",
            Claim::AtLeastOnce => "attempts that did not arrive",
        };
        let detail = Some(format!("{measured} {what}, at least {required} required (spec.minExposures)"));
        report.doubt(Doubt::TooFewExposures, DoubtNote { count: required - measured, first: None, detail });
    }
}
