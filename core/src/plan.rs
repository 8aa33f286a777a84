//! A validated experiment, as every part of the lab uses it.

use std::{ops::Range, time::Duration};

use crate::{
    claim::{Claim, Expectation},
    client::{ATTEMPTS_MAX, BodyDrift, ClientPlan},
    fault::{
        effect::Effect,
        kill::Kill,
        sampler::{Fault, FaultSampler},
    },
    money::MinorUnits,
    payment::AttemptId,
    targets::{Overlap, Target},
};

/// A validated experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What the path is claimed to do.
    pub claim: Claim,
    /// The verdict that makes the experiment a success.
    pub expect: Expectation,
    /// The faults, with the seed that decides which attempts meet them.
    pub sampler: FaultSampler,
    /// How many payments.
    pub count: u64,
    /// The amount of each.
    pub amount: MinorUnits,
    /// The currency of the amount.
    pub currency: String,
    /// The account that pays.
    pub from: String,
    /// The account that is paid.
    pub to: String,
    /// How the client sends.
    pub client: ClientPlan,
    /// The service that is paid.
    pub target: Target,
    /// Fewer exposures of the claim than this make the verdict `Inconclusive`; `None`: see [`crate::outcome`].
    pub min_exposures: Option<u64>,
    /// When the load stops, finished or not.
    pub deadline: Duration,
}

impl Plan {
    /// The seed of every fate.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.sampler.seed()
    }

    /// The faults, in the order of the spec.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        self.sampler.faults()
    }

    /// What all payments together should book.
    #[must_use]
    pub fn intended(&self) -> MinorUnits {
        MinorUnits(self.amount.0.saturating_mul(i64::try_from(self.count).unwrap_or(i64::MAX)))
    }

    /// The payments of one of `of` workers: contiguous ranges whose lengths differ by at most one.
    #[must_use]
    pub const fn share(&self, index: u32, of: u32) -> Range<u64> {
        let (index, of) = (index as u64, of as u64);
        self.count * index / of..self.count * (index + 1) / of
    }

    /// What attempt `attempt` of any payment asks for.
    #[must_use]
    pub fn amount_of(&self, attempt: u32) -> MinorUnits {
        match self.client.body_drift {
            BodyDrift::None => self.amount,
            BodyDrift::Amount => MinorUnits(self.amount.0 + i64::from(attempt) - 1),
        }
    }

    /// The largest amount that an attempt can ask for.
    #[must_use]
    pub fn amount_most(&self) -> MinorUnits {
        let recovery = self.client.recovery.map_or(0, |recovery| recovery.attempts);
        let redelivery = u32::from(self.client.redeliver.is_some());
        self.amount_of(self.client.max_attempts.unwrap_or(ATTEMPTS_MAX) + recovery + redelivery)
    }

    /// How many requests can be in flight at once.
    #[must_use]
    pub const fn in_flight_most(&self) -> u64 {
        self.client.workers as u64 * self.client.concurrency as u64 * self.client.hedge as u64
    }

    /// The longest time that a request can take from its first byte to its answer: faults hold it, and the service may book one
    /// request after another.
    #[must_use]
    pub fn slowest_request(&self) -> Duration {
        let requests = u32::try_from(self.in_flight_most()).unwrap_or(u32::MAX);
        let processing = self.target.processing_time().saturating_mul(requests);
        self.longest_delay().saturating_add(self.client.attempt_timeout).saturating_add(processing)
    }

    /// The longest time for which a fault holds a request or a response.
    #[must_use]
    pub fn longest_delay(&self) -> Duration {
        self.faults().iter().map(|fault| fault.effect.holds_for()).max().unwrap_or_default()
    }

    /// The kills that can take effect.
    pub fn kills(&self) -> impl Iterator<Item = Kill> {
        self.faults().iter().filter(|fault| fault.probability > 0.0).filter_map(|fault| match fault.effect {
            Effect::Kill(kill) => Some(kill),
            Effect::Reset(_) | Effect::Delay(_) => None,
        })
    }

    /// Whether one process counts all requests that reach the service, from the beginning of the load to its end.
    #[must_use]
    pub fn counts_all_requests(&self) -> bool {
        self.target.counts_all_requests() && self.kills().next().is_none()
    }

    /// Whether a fault keeps the response to an attempt from the client.
    #[must_use]
    pub fn hides_response(&self, id: AttemptId) -> bool {
        let fault = self.sampler.effective(&self.sampler.draw(id));
        fault.is_some_and(|fault| fault.effect.hides_response(self.client.attempt_timeout).is_some())
    }

    /// Whether two requests of one payment can be at the service at the same time.
    #[must_use]
    pub fn overlap(&self) -> Overlap {
        let outlives =
            |fault: &Fault| fault.probability > 0.0 && fault.effect.overlaps_retry(self.client.attempt_timeout);
        if self.client.hedge > 1 || self.faults().iter().any(outlives) { Overlap::Possible } else { Overlap::Never }
    }
}
