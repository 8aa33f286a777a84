//! The interval that holds 95 % of all seeds, found in bounded time for every count and every chance.
//!
//! Where counts are small or hardly vary, quantiles are found by adding up probabilities one by one; elsewhere the distribution is
//! normal for all practical purposes. The quantile searches of libraries invert the incomplete beta function, and for chances near
//! 0 or 1 these neither end nor stay within its domain.

use std::iter;

/// Between these quantiles lie 95 % of all seeds.
const TAILS: [f64; 2] = [0.025, 0.975];
/// The upper of these quantiles of the standard normal distribution.
const DEVIATIONS: f64 = 1.959_963_984_540_054;
/// Up to this variance, probabilities are added up.
const SUMMED_VARIANCE_MAX: f64 = 100_000.0;
/// Up to this many payments, probabilities are added up whatever the variance is: a sum of so few numbers can be far from normal.
const SUMMED_COUNT_MAX: u64 = 1_000;
/// A probability below this part of the sum so far ends the sum.
const NEGLIGIBLE: f64 = 1e-12;

/// A mean, and the interval that holds 95 % of all seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The expectation.
    pub mean: f64,
    /// The 2.5 % quantile.
    pub low: u64,
    /// The 97.5 % quantile.
    pub high: u64,
}

/// The number of `count` payments that have something of this chance. Rounding may have moved the chance out of 0..1.
pub(super) fn binomial(count: u64, chance: f64) -> Estimate {
    let chance = chance.clamp(0.0, 1.0);
    // The rarer side is counted, so that no ratio of neighbours overflows.
    let (rare, all) = (chance.min(1.0 - chance), float(count));
    let (mean, variance) = (all * rare, all * rare * (1.0 - rare));
    if !is_summed(count, variance) {
        return normal(all * chance, variance).within(0, count);
    }
    let [low, high] = quantiles(mean, variance, |value| (all - value) / (value + 1.0) * rare / (1.0 - rare))
        .map(|end| end.min(count));
    let [low, high] = if chance <= 0.5 { [low, high] } else { [count - high, count - low] };
    Estimate { mean: all * chance, low, high }
}

/// The sum of `count` numbers of tries until the first success of this chance, which is above 0.
pub(super) fn negative_binomial(count: u64, chance: f64) -> Estimate {
    let (chance, all) = (chance.clamp(f64::MIN_POSITIVE, 1.0), float(count));
    let variance = all * (1.0 - chance) / chance / chance;
    if !is_summed(count, variance) {
        return normal(all / chance, variance).within(count, u64::MAX);
    }
    let failures = all * (1.0 - chance) / chance;
    let [low, high] = quantiles(failures, variance, |value| (value + all) / (value + 1.0) * (1.0 - chance));
    Estimate { mean: all / chance, low: count.saturating_add(low), high: count.saturating_add(high) }
}

/// The sum of `count` independent numbers of this mean and variance.
pub(super) fn sum(count: u64, mean: f64, variance: f64) -> Estimate {
    normal(float(count) * mean, float(count) * variance)
}

fn is_summed(count: u64, variance: f64) -> bool {
    variance <= SUMMED_VARIANCE_MAX || count <= SUMMED_COUNT_MAX
}

/// The quantiles of a distribution over 0, 1, 2 and so on that has one peak. `ratio` is the probability of the number after the given
/// one, divided by that of the given one.
fn quantiles(mean: f64, variance: f64, ratio: impl Fn(f64) -> f64) -> [u64; 2] {
    // What lies below this is negligible. Probabilities are relative to that of the first number until their sum is known.
    let first = (mean - 12.0 * variance.sqrt() - 20.0).floor().max(0.0);
    let weights =
        || iter::successors(Some((first, 1.0)), |(value, weight)| Some((value + 1.0, weight * ratio(*value))));
    let mut total = 0.0;
    for (value, weight) in weights() {
        total += weight;
        if value > mean && weight <= total * NEGLIGIBLE {
            break;
        }
    }
    TAILS.map(|tail| {
        let mut sum = 0.0;
        let quantile = weights().find(|(_, weight)| {
            sum += weight;
            sum >= tail * total
        });
        whole(quantile.map_or(first, |(value, _)| value))
    })
}

fn normal(mean: f64, variance: f64) -> Estimate {
    let reach = DEVIATIONS * variance.max(0.0).sqrt();
    Estimate { mean, low: whole(mean - reach), high: whole(mean + reach) }
}

impl Estimate {
    /// The same, if no run can be outside of these bounds.
    pub(super) fn within(self, least: u64, most: u64) -> Self {
        Self { mean: self.mean, low: self.low.clamp(least, most), high: self.high.clamp(least, most) }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
pub(super) const fn float(count: u64) -> f64 {
    count as f64
}

/// The nearest whole number that is not negative.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the conversion saturates, and the number is not negative"
)]
fn whole(number: f64) -> u64 {
    number.round().max(0.0) as u64
}
