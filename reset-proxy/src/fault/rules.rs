//! The rules in force: one immutable snapshot that every request reads once, and a lease after whose expiry they have no
//! effect, in case their owner is gone. It must not know of sockets.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwapOption;
use paylab_core::{
    fault::{point::Point, sampler::FaultSampler, spec},
    field_error::FieldError,
    run_id::RunId,
};
use paylab_part::contract::{Rules, RulesInForce};
use thiserror::Error;

use crate::fault::{fate::Fate, record::Record};

/// The longest lease, in milliseconds. An owner that does not renew it for an hour counts as gone.
const LEASE_MS_MAX: u64 = 3_600_000;
const US_PER_MS: u64 = 1_000;

/// The rules in force, if any.
#[derive(Debug, Default)]
pub(crate) struct RuleBook {
    snapshot: ArcSwapOption<Snapshot>,
    /// Locked while the snapshot is replaced, never while it is read.
    replacing: Mutex<()>,
}

/// The rules of one run, with its record.
#[derive(Debug)]
pub(crate) struct Snapshot {
    rules: Rules,
    pub(crate) record: Arc<Record>,
    /// What each fault does, in the order of the rules.
    fates: Vec<Fate>,
    /// When the lease expires, in microseconds of the record's age.
    expires_at_us: AtomicU64,
}

/// The state of the rules for a request that arrives now.
#[derive(Debug, Clone)]
pub(crate) enum RuleState {
    /// There are none: the request passes.
    NoRules,
    /// Their lease has expired: the request passes and is counted.
    Lapsed(Arc<Snapshot>),
    InForce(Arc<Snapshot>),
}

/// Why rules were not accepted.
#[derive(Debug, Error)]
pub(crate) enum PutError {
    #[error("run \"{0}\" is in force with another seed or other faults; other rules need another run id")]
    Changed(String),
    #[error("cannot create the file of the record: {0}")]
    Record(#[from] io::Error),
}

/// Why a lease was not renewed.
#[derive(Debug, Error)]
pub(crate) enum RenewError {
    #[error("no rules are in force")]
    NoRules,
    #[error("the rules in force are those of run \"{0}\"")]
    OtherRun(String),
}

/// Returns everything that is wrong with rules.
pub(crate) fn check(rules: &Rules) -> Vec<FieldError> {
    let mut errors = spec::check(&rules.faults, "faults");
    if let Err(error) = rules.run_id.parse::<RunId>() {
        errors.push(FieldError::new("run_id", error.to_string()));
    }
    if !(1..=LEASE_MS_MAX).contains(&rules.lease_ms) {
        let text = format!("{} is not a lease; use 1 to {LEASE_MS_MAX} milliseconds", rules.lease_ms);
        errors.push(FieldError::new("lease_ms", text));
    }
    errors
}

impl RuleBook {
    /// Puts rules in force that have passed [`check`]. If the run is in force already, this renews its lease and keeps its
    /// record.
    pub(crate) fn put(&self, rules: Rules) -> Result<RulesInForce, PutError> {
        let _replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let record = match self.snapshot.load_full() {
            Some(current) if current.rules.run_id == rules.run_id => {
                let Rules { run_id: _, seed, faults, last_struck, lease_ms: _ } = &current.rules;
                if (seed, faults, last_struck) != (&rules.seed, &rules.faults, &rules.last_struck) {
                    return Err(PutError::Changed(rules.run_id));
                }
                Arc::clone(&current.record)
            }
            Some(_) | None => {
                let sampler = FaultSampler::new(rules.seed, &rules.faults).striking_until(rules.last_struck);
                Arc::new(Record::new(rules.run_id.clone(), sampler)?)
            }
        };
        let fates = record.sampler().faults().iter().map(|fault| Fate::of(fault.effect)).collect();
        let snapshot = Arc::new(Snapshot { rules, record, fates, expires_at_us: AtomicU64::new(0) });
        snapshot.renew();
        self.snapshot.store(Some(Arc::clone(&snapshot)));
        Ok(snapshot.show())
    }

    /// Renews the lease of a run.
    pub(crate) fn renew(&self, run_id: &str) -> Result<RulesInForce, RenewError> {
        let snapshot = self.snapshot.load_full().ok_or(RenewError::NoRules)?;
        if snapshot.rules.run_id != run_id {
            return Err(RenewError::OtherRun(snapshot.rules.run_id.clone()));
        }
        snapshot.renew();
        Ok(snapshot.show())
    }

    /// Removes the rules and their record.
    pub(crate) fn remove(&self) {
        let _replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        self.snapshot.store(None);
    }

    /// The rules, whether or not their lease has expired.
    pub(crate) fn current(&self) -> Option<Arc<Snapshot>> {
        self.snapshot.load_full()
    }

    /// The state of the rules for a request that arrives now.
    pub(crate) fn state(&self) -> RuleState {
        match self.snapshot.load_full() {
            None => RuleState::NoRules,
            Some(snapshot) if snapshot.lease_left_us() == 0 => RuleState::Lapsed(snapshot),
            Some(snapshot) => RuleState::InForce(snapshot),
        }
    }
}

impl Snapshot {
    /// The rules as `GET` shows them.
    pub(crate) fn show(&self) -> RulesInForce {
        RulesInForce { rules: self.rules.clone(), lease_left_ms: self.lease_left_us().div_ceil(US_PER_MS) }
    }

    /// Whether a fault can take effect before anything is read.
    pub(crate) fn has_fault_on_connect(&self) -> bool {
        self.record
            .sampler()
            .faults()
            .iter()
            .any(|fault| fault.effect.at() == Point::Connect && fault.probability > 0.0)
    }

    /// What the fault with this index does.
    pub(crate) fn fate(&self, fault: Option<usize>) -> Fate {
        fault.and_then(|index| self.fates.get(index)).copied().unwrap_or(Fate::Pass)
    }

    fn renew(&self) {
        let expires_at_us = self.record.age_us().saturating_add(self.rules.lease_ms.saturating_mul(US_PER_MS));
        self.expires_at_us.store(expires_at_us, Ordering::Relaxed);
    }

    fn lease_left_us(&self) -> u64 {
        self.expires_at_us.load(Ordering::Relaxed).saturating_sub(self.record.age_us())
    }
}

#[cfg(test)]
mod tests {
    use paylab_core::fault::{effect::Effect, reset::Reset, spec::FaultSpec};

    use super::*;

    fn rules(run_id: &str, lease_ms: u64) -> Rules {
        let fault = FaultSpec::new("lost", 0.3, Effect::Reset(Reset { at: Point::BeforeRequest }));
        Rules { run_id: run_id.into(), seed: 42, faults: vec![fault], last_struck: None, lease_ms }
    }

    #[test]
    fn everything_wrong_with_rules_is_reported_at_once() {
        let mut wrong = rules("no blanks", 0);
        wrong.faults[0].probability = 7.5;
        let fields: Vec<_> = check(&wrong).into_iter().map(|refusal| refusal.field).collect();
        assert_eq!(fields, ["faults[0].probability", "run_id", "lease_ms"]);
        assert_eq!(check(&rules("run-1", LEASE_MS_MAX)), []);
    }

    #[test]
    fn the_same_run_keeps_its_record_and_another_starts_a_new_one() {
        let book = RuleBook::default();
        let record = |book: &RuleBook| Arc::clone(&book.current().unwrap().record);
        book.put(rules("run-1", 60_000)).unwrap();
        let first = record(&book);
        book.put(rules("run-1", 30_000)).unwrap();
        assert!(Arc::ptr_eq(&first, &record(&book)));
        assert_eq!(book.current().unwrap().show().rules.lease_ms, 30_000);
        let other_seed = Rules { seed: 43, ..rules("run-1", 60_000) };
        assert!(matches!(book.put(other_seed), Err(PutError::Changed(_))));
        book.put(rules("run-2", 60_000)).unwrap();
        assert!(!Arc::ptr_eq(&first, &record(&book)));
    }

    #[test]
    fn only_the_owner_renews_the_lease() {
        let book = RuleBook::default();
        assert!(matches!(book.renew("run-1"), Err(RenewError::NoRules)));
        book.put(rules("run-1", 60_000)).unwrap();
        assert!(matches!(book.renew("run-2"), Err(RenewError::OtherRun(_))));
        assert!(book.renew("run-1").unwrap().lease_left_ms > 50_000);
        assert!(matches!(book.state(), RuleState::InForce(_)));
        book.remove();
        assert!(matches!(book.state(), RuleState::NoRules));
    }
}
