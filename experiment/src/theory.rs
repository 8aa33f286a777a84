//! What happens on average over all seeds: closed forms, and the interval that holds 95 % of all runs.
//!
//! Per payment: an attempt is lost on its way in with probability `u`, booked but not answered with `D = (1-u)d`, answered
//! with `s = (1-u)(1-d)`; at most `K` attempts. Counts of payments are binomial; attempts and entries of unlimited
//! retries are negative binomial; those of limited retries are sums of many bounded numbers, so the normal interval is used.

use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, NegativeBinomial, Normal};

use crate::{
    plan::Plan,
    predict::{Treatment, depends_on, treatment},
    spec::{BodyDrift, Dedup, Point},
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
        let plain = plan.dice.dies().iter().all(|die| die.attempts.is_none() && die.payments.is_none());
        let simple = plan.client.hedge == 1 && plan.client.body_drift == BodyDrift::None;
        let keyless = treatment(plan) == Treatment::RefusesKeyless;
        if !plain || !simple || keyless || depends_on(plan).is_some() {
            return None;
        }
        let miss = |wanted: fn(Point) -> bool| -> f64 {
            let dies = plan.dice.dies().iter().filter(|die| wanted(die.point));
            1.0 - dies.map(|die| 1.0 - die.probability).product::<f64>()
        };
        let chances = Chances {
            u: miss(|point| !point.arrives()),
            d: miss(|point| point.arrives() && !point.answers()),
            most: plan.client.max_attempts,
        };
        Some(chances.theory(plan))
    }
}

impl Chances {
    /// The chance that an attempt is not acknowledged.
    fn f(self) -> f64 {
        1.0 - (1.0 - self.u) * (1.0 - self.d)
    }

    /// `x^K`, which is 0 for unlimited retries.
    fn to_the_most(self, x: f64) -> f64 {
        self.most.map_or(0.0, |most| x.powf(f64::from(most)))
    }

    fn theory(self, plan: &Plan) -> Theory {
        let Self { u, d, most } = self;
        let count = plan.count;
        let tells = treatment(plan) == Treatment::TellsRepeats;
        let (never_acked, never_booked) = (self.to_the_most(self.f()), self.to_the_most(u));
        let last_only = most.map_or(0.0, |most| f64::from(most) * (1.0 - u) * u.powf(f64::from(most) - 1.0));
        let twice = d * (1.0 - never_booked - last_only);
        // A 202 does not tell a repeat.
        let says_repeat = tells && plan.service.dedup != Dedup::AckThenApply;
        let by_repeat = 1.0 - never_acked - (1.0 - d) * (1.0 - never_booked);
        Theory {
            attempts: self.attempts(count),
            entries: if tells { binomial(count, 1.0 - never_booked) } else { self.entries(count) },
            acknowledged: binomial(count, 1.0 - never_acked),
            lost: binomial(count, never_booked),
            duplicated: binomial(count, if tells { 0.0 } else { twice }),
            booked_unknown: binomial(count, never_acked - never_booked),
            repeats: binomial(count, if says_repeat { by_repeat } else { 0.0 }),
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

    /// Entries when every arriving request is booked; `u` drops out of unlimited retries.
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
    // Rounding may leave a chance a hair outside of 0..1.
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::stories::lesson;

    fn theory(most: i32) -> Theory {
        Theory::of(&lesson(&json!({"client": {"retry": {"maxAttempts": most}}}))).unwrap()
    }

    fn shown(estimate: Estimate) -> String {
        format!("{:.1} {}..{}", estimate.mean, estimate.low, estimate.high)
    }

    #[test]
    fn unlimited_retries_have_the_numbers_of_the_contract() {
        let Theory { attempts, entries, acknowledged, lost, duplicated, booked_unknown, repeats } = theory(0);
        let all = [attempts, entries, acknowledged, lost, duplicated, booked_unknown, repeats].map(shown);
        expect_test::expect![[r#"
            2040.8 1952..2133
            1428.6 1381..1478
            1000.0 1000..1000
            0.0 0..0
            300.0 272..329
            0.0 0..0
            0.0 0..0"#]]
        .assert_eq(&all.join("\n"));
    }

    #[test]
    fn one_try_and_three_tries_have_the_numbers_of_the_contract() {
        let one = theory(1);
        let all =
            [one.attempts, one.entries, one.acknowledged, one.lost, one.duplicated, one.booked_unknown].map(shown);
        expect_test::expect![[r#"
            1000.0 1000..1000
            700.0 671..728
            490.0 459..521
            300.0 272..329
            0.0 0..0
            210.0 185..236"#]]
        .assert_eq(&all.join("\n"));
        let three = theory(3);
        let means = [three.attempts, three.lost, three.booked_unknown, three.duplicated]
            .map(|estimate| format!("{:.1}", estimate.mean));
        assert_eq!(means, ["1770.1", "27.0", "105.7", "235.2"]);
    }

    #[test]
    fn a_dedup_that_holds_books_each_payment_once_and_repeats_are_acknowledged() {
        let changes = json!({"client": {"idempotencyKey": "PerPayment"}, "service": {"dedup": "UniqueKey"}});
        let theory = Theory::of(&lesson(&changes)).unwrap();
        let all = [theory.entries, theory.duplicated, theory.repeats].map(shown);
        assert_eq!(all, ["1000.0 1000..1000", "0.0 0..0", "300.0 272..329"]);
    }

    #[test]
    fn there_is_no_theory_where_there_is_no_closed_form() {
        for changes in [
            json!({"client": {"hedge": 2}}),
            json!({"client": {"bodyDrift": "Amount"}}),
            json!({"faults": [{"name": "first", "probability": 1.0, "reset": {"at": "Connect"}, "attempts": [1]}]}),
        ] {
            assert_eq!(Theory::of(&lesson(&changes)), None, "{changes}");
        }
    }

    #[test]
    fn without_faults_everything_is_certain() {
        let theory = Theory::of(&lesson(&json!({"faults": []}))).unwrap();
        assert_eq!(
            [theory.attempts, theory.entries, theory.lost].map(shown),
            ["1000.0 1000..1000", "1000.0 1000..1000", "0.0 0..0"]
        );
    }
}
