//! What exposures prove: a bound of the rate at which the path breaks its claim.

/// The error that the bound of the bug rate allows: one in twenty.
const RISK: f64 = 0.05;

/// The largest bug rate per exposure that is compatible with this many exposures without a bug, with 95 % confidence. It is never zero.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
pub fn bug_rate_bound(exposures: u64) -> f64 {
    // 1 - RISK^(1/n), written so that it keeps its digits for a large n.
    if exposures == 0 { 1.0 } else { -(RISK.ln() / exposures as f64).exp_m1() }
}
