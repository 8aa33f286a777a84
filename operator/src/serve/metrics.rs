//! The operator's metrics for Prometheus. They must not influence what the operator does.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use kube::{Resource as _, ResourceExt as _, api::PartialObjectMeta, runtime::reflector::Store};
use paylab_core::claim::Verdict;
use paylab_resource::{spec::ChaosExperiment, status::Phase};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// The upper bounds of the buckets of the reconcile duration, in seconds.
const DURATION_BUCKETS_SECS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// All metrics.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    reconciles: Counter,
    errors: Counter,
    seconds: Histogram,
    lost: Counter<u64, AtomicU64>,
    duplicated: Counter<u64, AtomicU64>,
    leader: Gauge,
    experiments: Family<State, Gauge>,
    /// The last known state of each experiment, by UID.
    states: Mutex<HashMap<String, State>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    phase: String,
    verdict: String,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let metrics = Self {
            registry: Registry::with_prefix("paylab"),
            reconciles: Counter::default(),
            errors: Counter::default(),
            seconds: Histogram::new(DURATION_BUCKETS_SECS),
            lost: Counter::default(),
            duplicated: Counter::default(),
            leader: Gauge::default(),
            experiments: Family::default(),
            states: Mutex::default(),
        };
        metrics.registered()
    }

    fn registered(mut self) -> Self {
        let Self { registry, reconciles, errors, seconds, lost, duplicated, leader, experiments, states: _ } =
            &mut self;
        registry.register("reconciles", "Reconciles of experiments", reconciles.clone());
        registry.register("reconcile_errors", "Reconciles that ended in an error", errors.clone());
        registry.register("reconcile_duration_seconds", "Duration of a reconcile", seconds.clone());
        registry.register("payments_lost", "Payments that verdicts found lost", lost.clone());
        registry.register(
            "payments_duplicated",
            "Payments that verdicts found booked twice or more",
            duplicated.clone(),
        );
        registry.register("leader", "1 if this operator is the leader, otherwise 0", leader.clone());
        registry.register("experiments", "Experiments by phase and verdict", experiments.clone());
        self
    }

    pub(crate) fn record_reconcile(&self, took: Duration) {
        self.reconciles.inc();
        self.seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn record_error(&self) {
        self.errors.inc();
    }

    /// Records that this operator has become the leader. It is never reset, because an operator that is no longer the leader ends.
    pub(crate) fn record_leadership(&self) {
        self.leader.set(1);
    }

    /// Records the phase and the verdict of an experiment.
    pub(crate) fn record_experiment(&self, resource: &ChaosExperiment) {
        let status = resource.status.as_ref();
        let phase = status.and_then(|status| status.phase).unwrap_or(Phase::Pending);
        let verdict = status.and_then(|status| status.verdict).map_or("", verdict_label);
        let state = State { phase: format!("{phase:?}"), verdict: verdict.to_owned() };
        self.lock().insert(resource.uid().unwrap_or_default(), state);
    }

    /// Counts what the verdict on an experiment that has ended found.
    pub(crate) fn record_end(&self, resource: &ChaosExperiment) {
        let Some(payments) = resource.status.as_ref().and_then(|status| status.payments) else { return };
        // What the evidence does not say is not counted.
        self.lost.inc_by(payments.lost.map_or(0, i64::unsigned_abs));
        self.duplicated.inc_by(payments.duplicated.map_or(0, i64::unsigned_abs));
    }

    /// All metrics in the OpenMetrics text format. Experiments that are no longer in the store are not counted.
    pub(crate) fn encode(&self, store: Option<&Store<PartialObjectMeta<ChaosExperiment>>>) -> String {
        let present: Vec<_> = store.map(Store::state).unwrap_or_default();
        let present: std::collections::HashSet<_> =
            present.iter().filter_map(|one| one.meta().uid.as_deref()).collect();
        self.experiments.clear();
        let mut states = self.lock();
        states.retain(|uid, _| present.contains(uid.as_str()));
        states.values().for_each(|state| {
            self.experiments.get_or_create(state).inc();
        });
        drop(states);
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn verdict_label(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Upheld => "Upheld",
        Verdict::Violated => "Violated",
        Verdict::Inconclusive => "Inconclusive",
    }
}
