//! A plan as a user would write it, in numbers and lists that both the model and the core's plan are made from.

use std::{ops::Range, time::Duration};

use paylab_core::{
    client::{BodyDrift, ConnectionPolicy, KeyPolicy, Recovery},
    fault::{sampler::FaultSampler, spec::FaultSpec},
    money::MinorUnits,
    plan::Plan,
    targets::{
        Target,
        ours::{Dedup, MissingKey, OnDisconnect, OurService},
    },
};

/// The timeout of every attempt where nothing is killed. A delay of at least twice this surely makes the client give up; one of at most 400 ms surely does not.
pub(crate) const TIMEOUT_MS: u64 = 1_000;

/// A plan as a user would write it.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) seed: u64,
    pub(crate) count: u64,
    /// The payments that are predicted, a part of all.
    pub(crate) share: Range<u64>,
    pub(crate) amount: i64,
    /// 0: until acknowledged.
    pub(crate) max_attempts: u32,
    /// Further attempts after the load.
    pub(crate) recovery: u32,
    pub(crate) hedge: u32,
    /// Payments in flight.
    pub(crate) concurrency: usize,
    pub(crate) timeout_ms: u64,
    pub(crate) key: KeyPolicy,
    pub(crate) drift: BodyDrift,
    pub(crate) connection: ConnectionPolicy,
    pub(crate) dedup: Dedup,
    pub(crate) missing_key: MissingKey,
    pub(crate) replicas: u32,
    pub(crate) on_disconnect: OnDisconnect,
    pub(crate) processing_ms: u64,
    pub(crate) key_ttl_ms: Option<u64>,
    pub(crate) faults: Vec<FaultSpec>,
}

impl Draft {
    /// The core's plan of this draft; what the draft does not name is as in `base`.
    pub(crate) fn plan(&self, base: &Plan) -> Plan {
        let mut plan = base.clone();
        plan.count = self.count;
        plan.amount = MinorUnits(self.amount);
        plan.client.max_attempts = (self.max_attempts > 0).then_some(self.max_attempts);
        plan.client.attempt_timeout = Duration::from_millis(self.timeout_ms);
        plan.client.concurrency = self.concurrency;
        plan.client.hedge = self.hedge;
        plan.client.key = self.key;
        plan.client.body_drift = self.drift;
        plan.client.connection = self.connection;
        plan.client.recovery = (self.recovery > 0).then_some(Recovery {
            attempts: self.recovery,
            backoff_base: Duration::ZERO,
            backoff_cap: Duration::ZERO,
        });
        plan.sampler = FaultSampler::new(self.seed, &self.faults).striking_until(plan.client.last_struck());
        plan.target = Target::Ours(OurService {
            dedup: self.dedup,
            replicas: self.replicas,
            on_disconnect: self.on_disconnect,
            processing_time: Duration::from_millis(self.processing_ms),
            key_ttl: self.key_ttl_ms.map(Duration::from_millis),
            missing_key: self.missing_key,
            fail_after: paylab_core::probability::Probability::NEVER,
        });
        plan
    }
}
