//! What happens on average over all seeds: closed forms, and the interval that holds 95 % of all runs.
//!
//! Per payment: the request of an attempt is lost with probability `u`, booked but not answered with `D = (1-u)d`, answered
//! with `s = (1-u)(1-d)`; at most `K` attempts. Counts of payments are binomial; attempts and entries of unlimited
//! retries are negative binomial; those of limited retries are sums of many bounded numbers, so the normal interval is used.

use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, NegativeBinomial, Normal};

use crate::{
    client::BodyDrift,
    fault::sampler::Fault,
    plan::Plan,
    prediction::depends_on_timing,
    targets::handling::{RepeatAnswer, Repeats, Treatment},
};

/// Between these quantiles lie 95 % of all seeds.
const TAILS: [f64; 2] = [0.025, 0.975];

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

/// The totals of a run, in theory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Theory {
    /// Attempts.
    pub attempts: Estimate,
    /// Entries of the ledger.
    pub entries: Estimate,
    /// Payments acknowledged.
    pub acknowledged: Estimate,
    /// Payments without an entry.
    pub lost: Estimate,
    /// Payments with two entries or more.
    pub duplicated: Estimate,
    /// Payments booked though the client saw no acknowledgement.
    pub booked_unknown: Estimate,
    /// Payments acknowledged as repeats.
    pub repeats: Estimate,
}

/// The chances of one attempt and the bound of attempts.
#[derive(Debug, Clone, Copy)]
struct Chances {
    /// Lost before the service has the whole request.
    u: f64,
    /// Booked, but the answer is lost, given that it arrived.
    d: f64,
    /// Attempts at most; `None`: until acknowledged.
    most: Option<u32>,
}

impl Theory {
    /// The theory of a plan; `None` where there is no closed form: faults that meet only some attempts or payments,
    /// hedged copies, drifting bodies, or a result that depends on timing.
    #[must_use]
    pub fn of(plan: &Plan) -> Option<Self> {
        let plain = plan.faults().iter().all(|fault| fault.attempts.is_none() && fault.payments.is_none());
        let simple = plan.client.hedge == 1 && plan.client.body_drift == BodyDrift::None;
        let treatment = plan.target.treatment(&plan.client);
        if !plain || !simple || treatment == Treatment::RefusesKeyless || depends_on_timing(plan).is_some() {
            return None;
        }
        Some(Chances::of(plan).theory(plan.count, treatment))
    }
}

impl Chances {
    /// The chances of one attempt: of the faults that fire, the one with the earliest point takes effect.
    fn of(plan: &Plan) -> Self {
        let mut faults: Vec<&Fault> = plan.faults().iter().collect();
        faults.sort_by_key(|fault| fault.effect.at());
        let (mut none_so_far, mut lost, mut unanswered) = (1.0, 0.0, 0.0);
        for fault in faults {
            let takes_effect = none_so_far * fault.probability;
            none_so_far *= 1.0 - fault.probability;
            if !fault.effect.request_arrives() {
                lost += takes_effect;
            } else if fault.effect.hides_response(plan.client.attempt_timeout).is_some() {
                unanswered += takes_effect;
            }
        }
        let d = if lost < 1.0 { unanswered / (1.0 - lost) } else { 0.0 };
        Self { u: lost, d, most: plan.client.max_attempts }
    }

    /// The chance that an attempt is not acknowledged.
    fn f(self) -> f64 {
        1.0 - (1.0 - self.u) * (1.0 - self.d)
    }

    /// `x^K`, which is 0 for unlimited retries.
    fn to_the_most(self, x: f64) -> f64 {
        self.most.map_or(0.0, |most| x.powf(f64::from(most)))
    }

    fn theory(self, count: u64, treatment: Treatment) -> Theory {
        let Self { u, d, most } = self;
        let (tells, marks_repeats) = match treatment {
            Treatment::BooksEvery | Treatment::RefusesKeyless => (false, false),
            Treatment::TellsRepeats(Repeats { answer: RepeatAnswer::Marked, .. }) => (true, true),
            Treatment::TellsRepeats(Repeats { answer: RepeatAnswer::LikeNew, .. }) => (true, false),
        };
        let (never_acked, never_booked) = (self.to_the_most(self.f()), self.to_the_most(u));
        let last_only = most.map_or(0.0, |most| f64::from(most) * (1.0 - u) * u.powf(f64::from(most) - 1.0));
        let twice = d * (1.0 - never_booked - last_only);
        let by_repeat = 1.0 - never_acked - (1.0 - d) * (1.0 - never_booked);
        Theory {
            attempts: self.attempts(count),
            entries: if tells { binomial(count, 1.0 - never_booked) } else { self.entries(count) },
            acknowledged: binomial(count, 1.0 - never_acked),
            lost: binomial(count, never_booked),
            duplicated: binomial(count, if tells { 0.0 } else { twice }),
            booked_unknown: binomial(count, never_acked - never_booked),
            repeats: binomial(count, if marks_repeats { by_repeat } else { 0.0 }),
        }
    }

    fn attempts(self, count: u64) -> Estimate {
        let s = 1.0 - self.f();
        match self.most {
            None => negative_binomial(count, s),
            // P(attempts > k) = f^k, so E = sum f^k and E of the square = sum (2k+1) f^k.
            Some(most) => {
                let tails = (0..most).scan(1.0, |tail, k| {
                    let now = *tail;
                    *tail *= self.f();
                    Some((now, (2.0 * f64::from(k) + 1.0) * now))
                });
                let (mean, square) = tails.fold((0.0, 0.0), |sum, term| (sum.0 + term.0, sum.1 + term.1));
                normal(count, mean, square - mean * mean)
            }
        }
    }

    /// Entries when every arriving request is booked; with unlimited retries they do not depend on `u`.
    fn entries(self, count: u64) -> Estimate {
        match self.most {
            None => negative_binomial(count, 1.0 - self.d),
            Some(1) => binomial(count, 1.0 - self.u),
            Some(most) => {
                let (s, unanswered) = (1.0 - self.f(), (1.0 - self.u) * self.d);
                let (mut mean, mut square) = (0.0, 0.0);
                for _ in 0..most {
                    let next = s + self.u * mean + unanswered * (1.0 + mean);
                    square = s + self.u * square + unanswered * (1.0 + 2.0 * mean + square);
                    mean = next;
                }
                normal(count, mean, square - mean * mean)
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
fn binomial(count: u64, p: f64) -> Estimate {
    let mean = count as f64 * p;
    // After rounding a chance may be slightly outside of 0..1.
    match Binomial::new(p.clamp(0.0, 1.0), count) {
        Ok(binomial) if p > 1e-12 && p < 1.0 - 1e-12 => {
            let [low, high] = TAILS.map(|tail| binomial.inverse_cdf(tail));
            Estimate { mean, low, high }
        }
        Ok(_) | Err(_) => fixed(if p < 0.5 { 0 } else { count }),
    }
}

/// The sum of `count` numbers of tries until the first success of chance `p`.
#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
fn negative_binomial(count: u64, p: f64) -> Estimate {
    match NegativeBinomial::new(count as f64, p.clamp(0.0, 1.0)) {
        Ok(failures) if p < 1.0 - 1e-12 => {
            let [low, high] = TAILS.map(|tail| count + failures.inverse_cdf(tail));
            Estimate { mean: count as f64 / p, low, high }
        }
        Ok(_) | Err(_) => fixed(count),
    }
}

/// The sum of `count` independent numbers of this mean and variance.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts stay below 2^53 and sums of counts are not negative"
)]
fn normal(count: u64, mean: f64, variance: f64) -> Estimate {
    let mean = mean * count as f64;
    let deviation = (variance * count as f64).max(0.0).sqrt();
    match Normal::new(mean, deviation) {
        Ok(normal) if deviation > 1e-9 => {
            let [low, high] = TAILS.map(|tail| normal.inverse_cdf(tail).round().max(0.0) as u64);
            Estimate { mean, low, high }
        }
        Ok(_) | Err(_) => Estimate { mean, ..fixed(mean.round() as u64) },
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
const fn fixed(count: u64) -> Estimate {
    Estimate { mean: count as f64, low: count, high: count }
}
