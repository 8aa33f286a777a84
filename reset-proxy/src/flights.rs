//! Which relays are under way, so that a drain can wait for those that had begun before it and for no other.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};

/// Every relay under way, by its number.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    state: Mutex<State>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    open: BTreeSet<u64>,
}

/// One relay under way; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Flight {
    flights: Arc<Flights>,
    number: u64,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drained {
    All,
    /// So many had begun before it and have not ended.
    Left(u64),
}

impl Flights {
    /// A relay begins.
    pub(crate) fn begin(self: &Arc<Self>) -> Flight {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.open.insert(number);
        Flight { flights: Arc::clone(self), number }
    }

    /// How many are under way.
    pub(crate) fn count(&self) -> u64 {
        self.lock().open.len() as u64
    }

    /// Waits until every relay that had begun before this call has ended.
    pub(crate) async fn drain(&self, patience: Duration) -> Drained {
        let newer = self.lock().next;
        let all_ended = async {
            loop {
                let mut ended = std::pin::pin!(self.ended.notified());
                ended.as_mut().enable();
                if self.begun_before(newer) == 0 {
                    return;
                }
                ended.await;
            }
        };
        match timeout(patience, all_ended).await {
            Ok(()) => Drained::All,
            Err(_) => Drained::Left(self.begun_before(newer)),
        }
    }

    fn begun_before(&self, number: u64) -> u64 {
        self.lock().open.range(..number).count() as u64
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.flights.lock().open.remove(&self.number);
        self.flights.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_drain_waits_for_what_had_begun_and_for_nothing_newer() {
        let flights = Arc::new(Flights::default());
        let old = flights.begin();
        let mut drain = std::pin::pin!(flights.drain(Duration::from_secs(5)));
        assert!(futures::poll!(drain.as_mut()).is_pending());
        let newer = flights.begin();
        drop(old);
        assert_eq!(drain.await, Drained::All);
        assert_eq!(flights.drain(Duration::ZERO).await, Drained::Left(1));
        drop(newer);
        assert_eq!(flights.drain(Duration::ZERO).await, Drained::All);
    }
}
