//! Tracks the work in flight, so that a drain can wait for everything that had begun before it, whatever begins after it.

use std::{
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::contract::DrainQuery;
use axum::http::StatusCode;
use tokio::time::timeout;
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use crate::refusal::Refusal;

/// How long a drain waits unless the query says otherwise, in milliseconds.
const DRAIN_MS: u64 = 10_000;
/// The longest wait that a query may ask for, in milliseconds: one hour, because a load asks for as long as the slowest request of its
/// plan needs.
const DRAIN_MS_MAX: u64 = 3_600_000;

/// Tracks the work in flight in generations. Each drain begins a new generation and waits for all older ones.
#[derive(Debug, Default)]
pub struct DrainTracker(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    current: TaskTracker,
    older: Vec<TaskTracker>,
}

impl DrainTracker {
    /// Tracks a piece of work from now until the token is dropped.
    pub fn begin(&self) -> TaskTrackerToken {
        self.lock().current.token()
    }

    /// How many pieces of work are in flight.
    pub fn count(&self) -> u64 {
        let generations = self.lock();
        generations.older.iter().chain([&generations.current]).map(|generation| generation.len() as u64).sum()
    }

    /// Waits for all work that has begun before; false when it has not ended within `most`.
    pub async fn drain(&self, most: Duration) -> bool {
        let earlier = self.begin_generation();
        let ended = async {
            for generation in &earlier {
                generation.wait().await;
            }
        };
        timeout(most, ended).await.is_ok()
    }

    /// Answers `GET /drain`: 200 once all work that has begun before has ended, 503 when that takes too long.
    ///
    /// # Errors
    /// The work has not ended in time, or the query asks for too long a wait.
    pub async fn answer(&self, query: DrainQuery) -> Result<StatusCode, Refusal> {
        let timeout_ms = query.timeout_ms.unwrap_or(DRAIN_MS);
        if timeout_ms > DRAIN_MS_MAX {
            let detail = format!("{timeout_ms} is too long; use at most {DRAIN_MS_MAX} milliseconds");
            return Err(Refusal::of_field("timeout_ms", detail));
        }
        let most = Duration::from_millis(timeout_ms);
        if self.drain(most).await {
            Ok(StatusCode::OK)
        } else {
            let detail = format!("{} are still under way after {most:?}", self.count());
            Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, detail))
        }
    }

    /// Begins a new generation and returns the older ones that have not ended.
    fn begin_generation(&self) -> Vec<TaskTracker> {
        let mut generations = self.lock();
        let past = mem::take(&mut generations.current);
        past.close();
        generations.older.push(past);
        generations.older.retain(|generation| !generation.is_empty());
        generations.older.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        // A panic while the lock is held cannot leave the generations half-changed, so a poisoned lock is still good.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_drain_waits_for_work_that_began_before_it_and_not_for_later_work() {
        let tracker = DrainTracker::default();
        let early = tracker.begin();
        assert!(!tracker.drain(SHORT).await, "the early work is still in flight");
        let (drained, late) = tokio::join!(tracker.drain(SHORT), async {
            let late = tracker.begin();
            drop(early);
            late
        });
        assert!(drained, "work that began during the drain does not delay it");
        assert_eq!(tracker.count(), 1);
        drop(late);
        assert!(tracker.drain(SHORT).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_query_may_ask_for_an_hour_and_not_for_more() {
        let tracker = DrainTracker::default();
        let query = |timeout_ms| DrainQuery { timeout_ms: Some(timeout_ms) };
        let refusal = tracker.answer(query(3_600_001)).await.unwrap_err();
        assert_eq!((refusal.status, refusal.field.as_deref()), (StatusCode::BAD_REQUEST, Some("timeout_ms")));
        let slow = tracker.begin();
        let end = async {
            tokio::time::sleep(Duration::from_secs(3_599)).await;
            drop(slow);
        };
        let (answered, ()) = tokio::join!(tracker.answer(query(3_600_000)), end);
        assert_eq!(answered, Ok(StatusCode::OK));
    }
}
