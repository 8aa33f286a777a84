//! When the payments of an open loop begin.

use std::time::Duration;

/// The longest time by which `rate` delays a payment; every deadline is shorter.
const SPACING_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long after the first payment the one with this index should begin.
#[expect(clippy::cast_precision_loss, reason = "an index is below 2^53")]
pub(super) fn spacing(index: u64, rate: f64) -> Duration {
    Duration::try_from_secs_f64(index as f64 / rate).map_or(SPACING_MAX, |spacing| spacing.min(SPACING_MAX))
}
