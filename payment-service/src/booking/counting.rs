//! Counts what becomes of each request, whether or not its caller waits for it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use paylab_core::witness::ledger::ServiceCounters;
use paylab_part::drain::DrainTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::refusal::BookingRefusal;
use crate::{dedup::Treatment, ledger::Progress};

/// What was counted since the start.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    requests: AtomicU64,
    booked: AtomicU64,
    repeats: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Booked,
    Repeat,
    Refused,
    Failed,
}

/// A request that was received whole. When it is dropped, its end is counted, and only then a drain no longer waits for it. Unless
/// something else is said before, it has failed.
#[derive(Debug)]
pub(crate) struct OpenRequest {
    counts: Arc<Counts>,
    end: End,
    _flight: TaskTrackerToken,
}

impl OpenRequest {
    /// Counts a request. A drain waits for it from now on.
    pub(super) fn begin(counts: &Arc<Counts>, drain: &DrainTracker) -> Self {
        // In this order no drain can see a request that is counted and neither in flight nor at its end.
        let flight = drain.begin();
        counts.requests.fetch_add(1, Ordering::Relaxed);
        Self { counts: Arc::clone(counts), end: End::Failed, _flight: flight }
    }

    /// Ends a request that was refused because of its content.
    pub(crate) fn refuse(mut self) {
        self.end = End::Refused;
    }

    /// Ends a request that was treated, whose transactions have come this far: an entry that is committed counts, even if the booking has
    /// failed after it.
    pub(super) fn end(mut self, treatment: Result<Treatment, BookingRefusal>, progress: &Progress) {
        self.end = if progress.has_booked() { End::Booked } else { end_of(treatment) };
    }
}

const fn end_of(treatment: Result<Treatment, BookingRefusal>) -> End {
    match treatment {
        Ok(Treatment::Booked | Treatment::Accepted) => End::Booked,
        Ok(Treatment::Repeat | Treatment::Replayed(_)) => End::Repeat,
        Ok(Treatment::KeyReused | Treatment::InFlight) | Err(BookingRefusal::MissingKey) => End::Refused,
        Err(BookingRefusal::Busy | BookingRefusal::Failed | BookingRefusal::Dropped) => End::Failed,
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let Counts { requests: _, booked, repeats, refused, failed } = &*self.counts;
        let count = match self.end {
            End::Booked => booked,
            End::Repeat => repeats,
            End::Refused => refused,
            End::Failed => failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Counts {
    pub(super) fn read(&self, in_flight: u64) -> ServiceCounters {
        let Self { requests, booked, repeats, refused, failed } = self;
        let [requests, booked, repeats, refused, failed] =
            [requests, booked, repeats, refused, failed].map(|count| count.load(Ordering::Relaxed));
        ServiceCounters { requests, booked, repeats, refused, failed, in_flight }
    }
}
