//! A probability whose dice follow from the seed, for what is not a fault.

use crate::{fault::sampler::fraction, payment::AttemptId};

/// A probability from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probability(u64);

impl Probability {
    /// It never happens.
    pub const NEVER: Self = Self(0);

    /// The probability with this value. What is no number from 0 to 1 counts as the nearest one.
    #[must_use]
    pub fn of(value: f64) -> Self {
        Self(if value.is_nan() { 0 } else { value.clamp(0.0, 1.0).to_bits() })
    }

    /// Its value.
    #[must_use]
    pub const fn value(self) -> f64 {
        f64::from_bits(self.0)
    }

    /// Whether it can happen at all.
    #[must_use]
    pub fn is_possible(self) -> bool {
        self.value() > 0.0
    }

    /// Whether it happens to an attempt. The same seed, attempt and purpose decide the same.
    #[must_use]
    pub fn happens(self, seed: u64, id: AttemptId, purpose: &str) -> bool {
        self.is_possible() && fraction(seed, id, purpose) < self.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payment::PaymentId;

    #[test]
    fn it_happens_about_as_often_as_it_says_and_always_to_the_same() {
        let count = |value: f64| {
            let happens = |i: &u64| {
                let id = AttemptId { payment: PaymentId(*i), attempt: 1 };
                Probability::of(value).happens(42, id, "redeliver")
            };
            (0..1000).filter(happens).count()
        };
        assert_eq!([count(0.0), count(-1.0), count(f64::NAN), count(1.0), count(7.0)], [0, 0, 0, 1000, 1000]);
        assert!((250..350).contains(&count(0.3)), "{}", count(0.3));
        assert_eq!(count(0.3), count(0.3));
    }
}
