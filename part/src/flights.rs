//! What is under way, so that a drain can wait for everything that had begun before it, whatever begins after it.

use std::{
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::http::StatusCode;
use crate::contract::DrainQuery;
use tokio::time::timeout;
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use crate::refusal::Refusal;

/// A drain waits so long unless it is told otherwise.
const DRAIN_MS: u64 = 10_000;
/// And never longer than this.
const DRAIN_MS_MAX: u64 = 60_000;

/// Generations of what is under way. Each drain begins a new one and waits for all the older.
#[derive(Debug, Default)]
pub struct Flights(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    current: TaskTracker,
    older: Vec<TaskTracker>,
}

impl Flights {
    /// Something has begun; it has ended when the token is dropped.
    pub fn begin(&self) -> TaskTrackerToken {
        self.lock().current.token()
    }

    /// How many are under way.
    pub fn count(&self) -> u64 {
        let generations = self.lock();
        generations.older.iter().chain([&generations.current]).map(|generation| generation.len() as u64).sum()
    }

    /// Waits for everything that has begun before; false when that takes longer than `most`.
    pub async fn drain(&self, most: Duration) -> bool {
        let earlier = self.turn();
        let ended = async {
            for generation in &earlier {
                generation.wait().await;
            }
        };
        timeout(most, ended).await.is_ok()
    }

    /// Answers `GET /drain`: 200 once everything that has begun before has ended, 503 when that takes too long.
    ///
    /// # Errors
    /// It takes too long, or is asked to wait too long.
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
    fn turn(&self) -> Vec<TaskTracker> {
        let mut generations = self.lock();
        let past = mem::take(&mut generations.current);
        past.close();
        generations.older.push(past);
        generations.older.retain(|generation| !generation.is_empty());
        generations.older.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        // Generations are whole after every single change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_drain_waits_for_what_was_there_and_not_for_what_comes() {
        let flights = Flights::default();
        let early = flights.begin();
        assert!(!flights.drain(SHORT).await, "the early one is still under way");
        let (drained, late) = tokio::join!(flights.drain(SHORT), async {
            let late = flights.begin();
            drop(early);
            late
        });
        assert!(drained, "what began during the drain does not hold it");
        assert_eq!(flights.count(), 1);
        drop(late);
        assert!(flights.drain(SHORT).await);
    }
}
