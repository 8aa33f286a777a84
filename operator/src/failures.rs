//! How often the reconciles of each experiment have failed in a row, and how long to wait before the next one.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The pause after the first failure; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// At most this many experiments are remembered. An experiment that is deleted while it fails is not reported as a success, so
/// without a bound such experiments would add up.
const EXPERIMENTS_MAX: usize = 10_000;

/// The failures in a row of each experiment whose last reconcile has failed, by UID.
#[derive(Debug, Default)]
pub(crate) struct Failures(Mutex<HashMap<String, InARow>>);

/// Failures in a row.
#[derive(Debug, Clone, Copy)]
struct InARow {
    count: u32,
    /// When the first of them happened.
    since: Instant,
}

impl Failures {
    /// Counts one more failure in a row, and returns how many there are.
    pub(crate) fn record_failure(&self, uid: &str) -> u32 {
        let mut failures = self.lock();
        if failures.len() >= EXPERIMENTS_MAX && !failures.contains_key(uid) {
            failures.clear();
        }
        let failed = failures.entry(uid.to_owned()).or_insert_with(|| InARow { count: 0, since: Instant::now() });
        failed.count = failed.count.saturating_add(1);
        failed.count
    }

    /// How long the reconciles of an experiment have failed already.
    pub(crate) fn lasted(&self, uid: &str) -> Duration {
        self.lock().get(uid).map_or(Duration::ZERO, |failed| failed.since.elapsed())
    }

    /// Forgets the failures of an experiment, because a reconcile has succeeded.
    pub(crate) fn record_success(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, InARow>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long to wait after this many failures in a row: 1 s, 2 s, 4 s and so on, up to 60 s.
pub(crate) fn pause_after(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(31);
    FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_from_one_second_to_a_minute() {
        let pauses: Vec<_> = (1..=8).map(|failures| pause_after(failures).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!((pause_after(0).as_secs(), pause_after(u32::MAX).as_secs()), (1, 60));
    }

    #[test]
    fn failures_are_counted_for_each_experiment_until_it_succeeds() {
        let failures = Failures::default();
        assert_eq!(
            [failures.record_failure("a"), failures.record_failure("a"), failures.record_failure("b")],
            [1, 2, 1]
        );
        failures.record_success("a");
        assert_eq!([failures.record_failure("a"), failures.record_failure("b")], [1, 2]);
        assert_eq!(failures.lasted("c"), Duration::ZERO);
        let begun = failures.lasted("a");
        failures.record_failure("a");
        assert!(failures.lasted("a") >= begun, "a further failure does not begin anew");
    }

    #[test]
    fn the_memory_of_failures_is_bounded() {
        let failures = Failures::default();
        for experiment in 0..=EXPERIMENTS_MAX {
            failures.record_failure(&experiment.to_string());
        }
        assert!(failures.lock().len() <= EXPERIMENTS_MAX);
    }
}
