//! What the proxy has counted since it started, on all connections together.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use paylab_experiment::{contract::ProxyCounters, spec::Point};

/// Classes of status, `1xx` to `5xx`.
const CLASSES: usize = 5;

/// Counts that only rise. They order nothing, so every access is relaxed.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections: AtomicU64,
    pub(crate) connections_ended: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) attempts: AtomicU64,
    pub(crate) unintended_resets: AtomicU64,
    pub(crate) upstream_unreachable: AtomicU64,
    pub(crate) bytes_up: AtomicU64,
    pub(crate) bytes_down: AtomicU64,
    resets: [AtomicU64; Point::ALL.len()],
    responses: [AtomicU64; CLASSES],
    faults: Mutex<BTreeMap<String, u64>>,
}

/// Counts one more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What was counted.
pub(crate) fn counted(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Counters {
    /// Counts a reset on purpose.
    pub(crate) fn count_reset(&self, fault: &str, at: Point) {
        for (point, resets) in Point::ALL.iter().zip(&self.resets) {
            if *point == at {
                count(resets);
            }
        }
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        match faults.get_mut(fault) {
            Some(resets) => *resets += 1,
            None => {
                faults.insert(fault.to_owned(), 1);
            }
        }
    }

    /// Counts a response of the service, interim ones included.
    pub(crate) fn count_response(&self, status: u16) {
        if let Some(responses) = usize::from(status / 100).checked_sub(1).and_then(|class| self.responses.get(class)) {
            count(responses);
        }
    }

    /// All of them, with the requests in flight, which are known elsewhere.
    pub(crate) fn show(&self, in_flight: u64) -> ProxyCounters {
        let connections = counted(&self.connections);
        let nonzero = |(name, counter): (String, &AtomicU64)| {
            let count = counted(counter);
            (count > 0).then_some((name, count))
        };
        ProxyCounters {
            connections,
            connections_open: connections.saturating_sub(counted(&self.connections_ended)),
            requests: counted(&self.requests),
            attempts: counted(&self.attempts),
            in_flight,
            unintended_resets: counted(&self.unintended_resets),
            upstream_unreachable: counted(&self.upstream_unreachable),
            resets: Point::ALL.iter().map(|at| format!("{at:?}")).zip(&self.resets).filter_map(nonzero).collect(),
            faults: self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            responses: (1..).map(|class| format!("{class}xx")).zip(&self.responses).filter_map(nonzero).collect(),
            bytes_up: counted(&self.bytes_up),
            bytes_down: counted(&self.bytes_down),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resets_are_told_by_point_and_by_fault_and_responses_by_class() {
        let counters = Counters::default();
        counters.count_reset("lost", Point::BeforeRequest);
        counters.count_reset("lost", Point::BeforeRequest);
        counters.count_reset("late", Point::AfterRequest);
        for status in [200, 208, 503, 0, 999] {
            counters.count_response(status);
        }
        let shown = counters.show(3);
        let pairs = |list: &[(&str, u64)]| list.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        assert_eq!(shown.resets, pairs(&[("BeforeRequest", 2), ("AfterRequest", 1)]));
        assert_eq!(shown.faults, pairs(&[("lost", 2), ("late", 1)]));
        assert_eq!(shown.responses, pairs(&[("2xx", 2), ("5xx", 1)]));
        assert_eq!(shown.in_flight, 3);
    }
}
