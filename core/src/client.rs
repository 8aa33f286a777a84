//! How the client sends and retries payments.

use std::{ops::Range, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    fault::sampler::fraction,
    payment::{AttemptId, PaymentId},
    probability::Probability,
    run_id::RunId,
};

/// Retries "until acknowledged" end after this many attempts; the load then counts as incomplete.
pub const ATTEMPTS_MAX: u32 = 10_000;

/// How the client sends and retries payments.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientPlan {
    /// Attempts per payment; `None`: until one is acknowledged.
    pub max_attempts: Option<u32>,
    /// The upper bound of the first pause.
    pub backoff_base: Duration,
    /// The upper bound of every pause.
    pub backoff_cap: Duration,
    /// How long one attempt may take.
    pub attempt_timeout: Duration,
    /// Which idempotency key a request carries.
    pub key: KeyPolicy,
    /// Payments in flight per worker.
    pub concurrency: usize,
    /// Workers (load pods).
    pub workers: u32,
    /// Copies of each request that are sent at once.
    pub hedge: u32,
    /// Payments begun per second and worker; `None`: as fast as answers come.
    pub rate: Option<f64>,
    /// A connection for each attempt, or kept ones.
    pub connection: ConnectionPolicy,
    /// What repeats ask for.
    pub body_drift: BodyDrift,
    /// A payment that the service has answered this often with "try again" is set aside, and asked once more at the end.
    pub stuck_after: u32,
    /// The second chance of payments that were not acknowledged; `None`: there is none.
    pub recovery: Option<Recovery>,
    /// How acknowledged payments are asked for once more; `None`: they are not.
    pub redeliver: Option<Redeliver>,
}

/// A payment that was acknowledged is asked for once more, as a webhook or a double click does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redeliver {
    /// How many of them.
    pub probability: Probability,
    /// The time between the acknowledgement and the repeat.
    pub after: Duration,
}

/// A second chance, after the load, of payments that were not acknowledged. No fault strikes its attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// Further attempts per payment.
    pub attempts: u32,
    /// The upper bound of the first pause.
    pub backoff_base: Duration,
    /// The upper bound of every pause.
    pub backoff_cap: Duration,
}

/// Which idempotency key a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum KeyPolicy {
    /// Requests carry no key.
    #[default]
    None,
    /// All attempts of a payment carry the same key, which is made before the first attempt.
    PerPayment,
    /// Every attempt carries a new key, so that the service takes repeats for new payments. This is a bug of some clients.
    PerAttempt,
}

/// Whether each attempt opens a connection of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ConnectionPolicy {
    /// Every attempt opens a new connection.
    #[default]
    PerAttempt,
    /// A connection is kept after a whole response and carries further attempts until it breaks.
    KeepAlive,
}

/// What a repeat of a payment asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum BodyDrift {
    /// A repeat asks for the same as the first attempt.
    #[default]
    None,
    /// Attempt number `k` asks for `k - 1` minor units (such as cents) more than the first, under the same key.
    Amount,
}

impl ClientPlan {
    /// The pause after an attempt: full jitter from the seed, below an exponential bound that is always capped.
    #[must_use]
    pub fn pause_after(&self, seed: u64, id: AttemptId) -> Duration {
        jitter(seed, id, id.attempt, self.backoff_base, self.backoff_cap)
    }

    /// The number of the last attempt that a fault can strike; `None`: every attempt can be struck.
    #[must_use]
    pub fn last_struck(&self) -> Option<u32> {
        self.recovery.and(self.max_attempts)
    }

    /// The attempts of recovery, by their numbers, after `made` attempts have left a payment without an acknowledgement.
    #[must_use]
    pub fn recovery_after(&self, made: u32) -> Range<u32> {
        let first = self.max_attempts.unwrap_or(made).max(made) + 1;
        first..first + self.recovery.map_or(0, |recovery| recovery.attempts)
    }

    /// Whether a payment may be asked for after others were paid.
    #[must_use]
    pub const fn asks_later(&self) -> bool {
        self.recovery.is_some() || self.redeliver.is_some()
    }

    /// The time after which a payment, once it is acknowledged, is asked for once more; `None`: it is not.
    #[must_use]
    pub fn redelivered_after(&self, seed: u64, payment: PaymentId) -> Option<Duration> {
        let Redeliver { probability, after } = self.redeliver?;
        probability.happens(seed, AttemptId { payment, attempt: 1 }, "redeliver").then_some(after)
    }

    /// Whether a payment may have another attempt after `attempts` were made.
    #[must_use]
    pub fn may_try_after(&self, attempts: u32) -> bool {
        self.max_attempts.is_none_or(|most| attempts < most)
    }
}

impl Recovery {
    /// The pause after attempt `nth` of recovery, from 1, like [`ClientPlan::pause_after`].
    #[must_use]
    pub fn pause_after(&self, seed: u64, id: AttemptId, nth: u32) -> Duration {
        jitter(seed, id, nth, self.backoff_base, self.backoff_cap)
    }
}

/// A pause between zero and an exponential bound that is always capped, drawn from the seed.
fn jitter(seed: u64, id: AttemptId, nth: u32, base: Duration, cap: Duration) -> Duration {
    let doublings = nth.saturating_sub(1).min(31);
    let bound = base.saturating_mul(1 << doublings).min(cap);
    if bound.is_zero() { Duration::ZERO } else { bound.mul_f64(fraction(seed, id, "jitter")) }
}

impl KeyPolicy {
    /// The idempotency key of an attempt: the payment's reference, followed by `.{k}` where each attempt has its own key.
    #[must_use]
    pub fn key(self, run: &RunId, id: AttemptId) -> Option<String> {
        match self {
            Self::None => None,
            Self::PerPayment => Some(run.reference(id.payment)),
            Self::PerAttempt => Some(format!("{}.{}", run.reference(id.payment), id.attempt)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_identifies_its_payment_and_belongs_to_no_other_run() {
        let run: RunId = "7c1f-a".parse().unwrap();
        let other: RunId = "7c1f".parse().unwrap();
        let id = AttemptId { payment: PaymentId(5), attempt: 2 };
        for policy in [KeyPolicy::PerPayment, KeyPolicy::PerAttempt] {
            let key = policy.key(&run, id).unwrap();
            assert_eq!(run.payment_of(&key), Some(PaymentId(5)), "{key}");
            assert_eq!(other.payment_of(&key), None, "{key}");
        }
        assert_eq!(KeyPolicy::None.key(&run, id), None);
        for forged in ["", "7c1f-a", "7c1f-a.", "7c1f-a.x", "7c1f-a.1.x", "7c1f-a5"] {
            assert_eq!(run.payment_of(forged), None, "{forged}");
        }
    }
}
