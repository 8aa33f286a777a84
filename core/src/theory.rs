//! What happens on average over all seeds: closed forms, and the interval that holds 95 % of all runs.
//!
//! Per payment: the request of an attempt is lost with probability `u`, booked but not answered with `D = (1-u)d`, answered
//! with `s = (1-u)(1-d)`; at most `K` attempts. Counts of payments are binomial; attempts and entries of unlimited
//! retries are negative binomial; those of limited retries are sums of many bounded numbers, so the normal interval is used.

mod distribution;
mod interval;

use self::interval::{binomial, float, negative_binomial, sum};
pub use self::{distribution::Distributions, interval::Estimate};
use crate::{
    client::{ATTEMPTS_MAX, BodyDrift},
    fault::sampler::Fault,
    plan::Plan,
    prediction::depends_on_timing,
    targets::handling::{RepeatAnswer, Treatment},
};

/// With unlimited retries, fewer payments than this are expected to reach the bound of attempts: it is as if there was none.
const BOUNDED_PAYMENTS_MAX: f64 = 1e-6;

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

/// The chances of one attempt, and when attempts end.
#[derive(Debug, Clone, Copy)]
struct Chances {
    /// `u`: lost before the service has the whole request.
    lost: f64,
    /// `D`: booked, but the answer is lost.
    unanswered: f64,
    /// `s`: booked and answered.
    answered: f64,
    /// Attempts at most; `None`: until acknowledged.
    most: Option<u32>,
    /// Whether a payment that the client has given up has another attempt after the load, which no fault strikes.
    recovers: bool,
}

impl Theory {
    /// The theory of a plan; `None` where there is no closed form: faults that meet only some attempts or payments,
    /// hedged copies, drifting bodies, kills, redeliveries, failures after the booking, or a result that depends on timing.
    #[must_use]
    pub fn of(plan: &Plan) -> Option<Self> {
        let plain = plan.faults().iter().all(|fault| fault.attempts.is_none() && fault.payments.is_none());
        let simple = plan.client.hedge == 1 && plan.client.body_drift == BodyDrift::None;
        let treatment = plan.target.treatment(&plan.client);
        if !plain
            || !simple
            || treatment == Treatment::RefusesKeyless
            || depends_on_timing(plan).is_some()
            || has_habits(plan)
        {
            return None;
        }
        Some(Chances::of(plan).theory(plan.count, treatment))
    }
}

/// Whether something besides resets and delays decides what happens, for which there is no closed form.
fn has_habits(plan: &Plan) -> bool {
    plan.kills().next().is_some() || plan.client.redeliver.is_some() || plan.target.fail_after().is_possible()
}

impl Chances {
    /// The chances of one attempt: of the faults that fire, the one with the earliest point takes effect.
    fn of(plan: &Plan) -> Self {
        let mut faults: Vec<&Fault> = plan.faults().iter().collect();
        faults.sort_by_key(|fault| fault.effect.at());
        let (mut none_so_far, mut lost, mut unanswered, mut answered) = (1.0, 0.0, 0.0, 0.0);
        for fault in faults {
            let takes_effect = none_so_far * fault.probability;
            none_so_far *= 1.0 - fault.probability;
            if !fault.effect.request_arrives() {
                lost += takes_effect;
            } else if fault.effect.hides_response(plan.client.attempt_timeout).is_some() {
                unanswered += takes_effect;
            } else {
                answered += takes_effect;
            }
        }
        let endless = Self { lost, unanswered, answered: answered + none_so_far, most: None, recovers: false };
        let most = plan.client.max_attempts.or_else(|| endless.bound(plan.count));
        // Unlimited retries give nothing up.
        let recovers = plan.client.max_attempts.is_some() && plan.client.recovery.is_some();
        Self { most, recovers, ..endless }
    }

    /// The bound of unlimited retries, where it matters: success is so rare that some payments are expected to reach it.
    fn bound(self, count: u64) -> Option<u32> {
        let reach_it = float(count) * self.not_acknowledged().powf(f64::from(ATTEMPTS_MAX));
        (reach_it > BOUNDED_PAYMENTS_MAX).then_some(ATTEMPTS_MAX)
    }

    /// `f`: the chance that an attempt is not acknowledged.
    fn not_acknowledged(self) -> f64 {
        self.lost + self.unanswered
    }

    /// `1-d`: the chance that a request that arrives is answered. It is a quotient, since a difference of chances near 1 is inexact.
    fn answered_if_arrived(self) -> f64 {
        let arrives = self.unanswered + self.answered;
        if arrives > 0.0 { self.answered / arrives } else { 1.0 }
    }

    /// `x^K`, which is 0 for unlimited retries.
    fn to_the_most(self, x: f64) -> f64 {
        self.most.map_or(0.0, |most| x.powf(f64::from(most)))
    }

    fn theory(self, count: u64, treatment: Treatment) -> Theory {
        let (tells, marks_repeats) = match treatment {
            Treatment::BooksEvery | Treatment::RefusesKeyless => (false, false),
            Treatment::TellsRepeats(repeats) => (true, repeats.answer == RepeatAnswer::Marked),
        };
        let (given_up, given_up_unbooked) = (self.to_the_most(self.not_acknowledged()), self.to_the_most(self.lost));
        let by_repeat = 1.0 - given_up - self.answered_if_arrived() * (1.0 - given_up_unbooked);
        // What the client has given up is acknowledged after the load, and booked before that if it was not yet.
        let (given_up_booked, given_up_unbooked, by_repeat) = if self.recovers {
            (0.0, 0.0, by_repeat + given_up - given_up_unbooked)
        } else {
            (given_up - given_up_unbooked, given_up_unbooked, by_repeat)
        };
        Theory {
            attempts: self.attempts(count),
            entries: if tells { binomial(count, 1.0 - given_up_unbooked) } else { self.entries(count) },
            acknowledged: binomial(count, if self.recovers { 1.0 } else { 1.0 - given_up }),
            lost: binomial(count, given_up_unbooked),
            duplicated: binomial(count, if tells { 0.0 } else { self.twice() }),
            booked_unknown: binomial(count, given_up_booked),
            repeats: binomial(count, if marks_repeats { by_repeat } else { 0.0 }),
        }
    }

    /// The chance of two entries or more, when every arriving request is booked.
    fn twice(self) -> f64 {
        // The chance that all attempts but one are lost, relative to what becomes of that one.
        let all_but_one = self.most.map_or(0.0, |most| f64::from(most) * self.lost.powf(f64::from(most) - 1.0));
        let arrived_once = all_but_one * (self.unanswered + self.answered);
        let within = (1.0 - self.answered_if_arrived()) * (1.0 - self.to_the_most(self.lost) - arrived_once);
        // The attempt after the load is the second to be booked if one of those before was.
        if self.recovers { within + all_but_one * self.unanswered } else { within }
    }

    fn attempts(self, count: u64) -> Estimate {
        let Some(most) = self.most else { return negative_binomial(count, self.answered) };
        let most = most + u32::from(self.recovers);
        let (mut mean, mut variance) = (0.0, 0.0);
        for _ in 0..most {
            let ends = (self.answered, 1.0);
            let goes_on = (self.not_acknowledged(), 1.0 + mean);
            let next = average(&[ends, goes_on]);
            // Squares of differences: the difference of two large squares would be inexact.
            variance = self.not_acknowledged() * variance + spread(&[ends, goes_on], next);
            mean = next;
        }
        sum(count, mean, variance).within(count, count.saturating_mul(most.into()))
    }

    /// Entries when every arriving request is booked; with unlimited retries they do not depend on `u`.
    fn entries(self, count: u64) -> Estimate {
        let Some(most) = self.most else { return negative_binomial(count, self.answered_if_arrived()) };
        if most == 1 && !self.recovers {
            return binomial(count, 1.0 - self.lost);
        }
        // The attempt after the load is booked for certain.
        let least = u32::from(self.recovers);
        let (mut mean, mut variance) = (f64::from(least), 0.0);
        for _ in 0..most {
            let cases = [(self.answered, 1.0), (self.lost, mean), (self.unanswered, 1.0 + mean)];
            let next = average(&cases);
            variance = self.not_acknowledged() * variance + spread(&cases, next);
            mean = next;
        }
        let (least, most) = (count.saturating_mul(least.into()), count.saturating_mul((most + least).into()));
        sum(count, mean, variance).within(least, most)
    }
}

/// The mean of numbers with their chances.
fn average(cases: &[(f64, f64)]) -> f64 {
    cases.iter().map(|(chance, number)| chance * number).sum()
}

/// The variance of numbers with their chances, around their mean.
fn spread(cases: &[(f64, f64)], mean: f64) -> f64 {
    cases.iter().map(|(chance, number)| chance * (number - mean) * (number - mean)).sum()
}
