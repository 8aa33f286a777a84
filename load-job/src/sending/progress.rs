//! How far a load is, for a progress bar or the log. No decision of the load depends on it.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hdrhistogram::Histogram;
use paylab_core::witness::attempt::AttemptOutcome;

/// The longest latency that is distinguished, in microseconds: one hour. Longer ones count as this long.
const LATENCY_US_MAX: u64 = 3_600_000_000;
/// Two decimal digits: a latency is exact to 1 %, and a histogram takes 14 KB.
const SIGNIFICANT_DIGITS: u8 = 2;

/// Counts that may be read at any time while the load runs. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    payments: AtomicU64,
    ended: AtomicU64,
    acknowledged: AtomicU64,
    attempts: AtomicU64,
    unreached: AtomicU64,
    latency: Mutex<Latency>,
}

/// How long attempts took, in microseconds, by what the client may believe after them.
#[derive(Debug, Clone)]
pub struct Latency {
    /// Attempts with a whole 2xx.
    pub acknowledged: Histogram<u32>,
    /// Attempts that were refused.
    pub rejected: Histogram<u32>,
    /// Attempts whose outcome is unknown.
    pub unknown: Histogram<u32>,
}

impl Progress {
    /// Payments of the share.
    #[must_use]
    pub fn payments(&self) -> u64 {
        self.0.payments.load(Ordering::Relaxed)
    }

    /// Payments that have ended: acknowledged, refused or given up.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.0.ended.load(Ordering::Relaxed)
    }

    /// Payments acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.0.acknowledged.load(Ordering::Relaxed)
    }

    /// Attempts that reached the proxy.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.0.attempts.load(Ordering::Relaxed)
    }

    /// Tries that never left this machine: nothing listened, or no port was left.
    #[must_use]
    pub fn unreached(&self) -> u64 {
        self.0.unreached.load(Ordering::Relaxed)
    }

    /// How long attempts have taken so far. In an open loop (`rate`) the first attempt of a payment counts from the moment it should
    /// have begun, so that a client that cannot keep up shows.
    #[must_use]
    pub fn latency(&self) -> Latency {
        self.lock().clone()
    }

    pub(crate) fn begin(&self, payments: u64) {
        self.0.payments.store(payments, Ordering::Relaxed);
    }

    pub(crate) fn note_attempt(&self, outcome: AttemptOutcome, took: Duration) {
        self.0.attempts.fetch_add(1, Ordering::Relaxed);
        self.lock().record(outcome, took);
    }

    pub(crate) fn note_unreached(&self) {
        self.0.unreached.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note_acknowledged(&self) {
        self.0.acknowledged.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note_end(&self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Latency> {
        // A panic cannot leave a histogram that is not one, so a poisoned lock is still good.
        self.0.latency.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Latency {
    fn record(&mut self, outcome: AttemptOutcome, took: Duration) {
        let histogram = match outcome {
            AttemptOutcome::Acknowledged(_) => &mut self.acknowledged,
            AttemptOutcome::Rejected(_) => &mut self.rejected,
            AttemptOutcome::Unknown(_) => &mut self.unknown,
        };
        histogram.saturating_record(u64::try_from(took.as_micros()).unwrap_or(LATENCY_US_MAX));
    }
}

impl Default for Latency {
    fn default() -> Self {
        let empty = || {
            Histogram::new_with_bounds(1, LATENCY_US_MAX, SIGNIFICANT_DIGITS)
                .expect("the bounds are constants that the histogram allows")
        };
        Self { acknowledged: empty(), rejected: empty(), unknown: empty() }
    }
}
