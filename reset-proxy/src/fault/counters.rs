//! What the fault plane has counted since the proxy started, over all connections.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use paylab_core::fault::point::Point;
use paylab_part::contract::ProxyCounters;

use crate::counter::Counter;

/// The number of classes of status, `1xx` to `5xx`.
const STATUS_CLASSES: usize = 5;

/// The counters of the fault plane.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections: Counter,
    pub(crate) connections_ended: Counter,
    pub(crate) requests: Counter,
    pub(crate) attempts: Counter,
    pub(crate) unintended_resets: Counter,
    pub(crate) upstream_unreachable: Counter,
    pub(crate) bytes_up: Counter,
    pub(crate) bytes_down: Counter,
    resets: [Counter; Point::ALL.len()],
    responses: [Counter; STATUS_CLASSES],
    faults: Mutex<BTreeMap<String, u64>>,
}

impl Counters {
    /// Counts a reset that a fault ordered.
    pub(crate) fn count_reset(&self, fault: &str, at: Point) {
        for (point, resets) in Point::ALL.iter().zip(&self.resets) {
            if *point == at {
                resets.increment();
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

    /// Counts a response of the service. Interim responses count too.
    pub(crate) fn count_response(&self, status: u16) {
        if let Some(responses) = usize::from(status / 100).checked_sub(1).and_then(|class| self.responses.get(class)) {
            responses.increment();
        }
    }

    /// The present values, with the number of requests in flight, which is kept elsewhere.
    pub(crate) fn show(&self, in_flight: u64) -> ProxyCounters {
        let connections = self.connections.value();
        let nonzero = |(name, counter): (String, &Counter)| {
            let count = counter.value();
            (count > 0).then_some((name, count))
        };
        ProxyCounters {
            connections,
            connections_open: connections.saturating_sub(self.connections_ended.value()),
            requests: self.requests.value(),
            attempts: self.attempts.value(),
            in_flight,
            unintended_resets: self.unintended_resets.value(),
            upstream_unreachable: self.upstream_unreachable.value(),
            resets: Point::ALL.iter().map(|at| format!("{at:?}")).zip(&self.resets).filter_map(nonzero).collect(),
            faults: self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            responses: (1..).map(|class| format!("{class}xx")).zip(&self.responses).filter_map(nonzero).collect(),
            bytes_up: self.bytes_up.value(),
            bytes_down: self.bytes_down.value(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resets_are_shown_by_point_and_by_fault_and_responses_by_class() {
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
