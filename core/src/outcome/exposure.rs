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

/// The smallest bound of a bug rate that may be asked for: about three thousand million exposures.
pub const BOUND_LEAST: f64 = 1e-9;

/// How many exposures without a bug bound the bug rate at or below a rate, with 95 % confidence. The rate is at least [`BOUND_LEAST`].
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate of at least 1e-9 needs fewer than 2^53 exposures"
)]
pub fn exposures_needed(rate: f64) -> u64 {
    if rate >= 1.0 {
        return 0;
    }
    let needed = (RISK.ln() / (-rate.max(BOUND_LEAST)).ln_1p()).ceil() as u64;
    // The division may round to either side.
    (needed.saturating_sub(1)..).find(|exposures| bug_rate_bound(*exposures) <= rate).unwrap_or(needed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exposures_for_a_bound_are_the_fewest_that_prove_it() {
        for (rate, needed) in [(0.5, 5), (0.03, 99), (1e-4, 29_956), (1e-6, 2_995_731), (1e-9, 2_995_732_273)] {
            assert_eq!(exposures_needed(rate), needed, "{rate}");
            assert!(bug_rate_bound(needed) <= rate && bug_rate_bound(needed - 1) > rate, "{rate}");
        }
        assert_eq!(exposures_needed(1.0), 0);
    }

    #[test]
    fn a_bound_is_never_zero() {
        for exposures in [1, 1_000_000, 1_000_000_000_000, u64::MAX] {
            assert!(bug_rate_bound(exposures) > 0.0, "{exposures}");
        }
    }
}
