//! Books each payment in the service's mode: alone or in a group, to its end or until its caller hangs up; and counts.

mod group_commit;
mod in_flight;
mod refusal;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use paylab_core::{
    targets::ours::{Dedup, MissingKey, OnDisconnect},
    witness::ledger::ServiceCounters,
};
use paylab_part::drain::DrainTracker;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::error;

pub(crate) use self::refusal::BookingRefusal;
use self::{
    group_commit::{BatchMode, QUEUE_MAX, Ticket},
    in_flight::InFlight,
};
use crate::{
    dedup::{self, Keys, Treatment},
    ledger::{Ledger, LedgerError},
    options::{Commit, Options},
    payment::Payment,
};

/// Books requests in one mode.
#[derive(Debug)]
pub(crate) struct Bookings {
    pub(crate) ledger: Ledger,
    pub(crate) drain: DrainTracker,
    mode: Dedup,
    on_disconnect: OnDisconnect,
    missing_key: MissingKey,
    processing_time: Duration,
    key_ttl: Option<Duration>,
    /// Absent when each request commits alone.
    queue: Option<mpsc::Sender<Ticket>>,
    /// The keys that `Memory` remembers.
    remembered: Keys,
    /// The keys that `Replay` has not answered yet.
    in_flight: Arc<Keys>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    booked: AtomicU64,
    repeats: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

impl Bookings {
    /// Returns with it the task of the group commit, if there is one, which must be awaited at the end.
    pub(crate) fn new(ledger: Ledger, options: &Options) -> (Self, Option<JoinHandle<()>>) {
        let mut bookings = Self {
            ledger,
            drain: DrainTracker::default(),
            mode: options.dedup,
            on_disconnect: options.on_disconnect,
            missing_key: options.missing_key,
            processing_time: options.processing_time.duration(),
            key_ttl: options.key_ttl.map(|ttl| ttl.duration()),
            queue: None,
            remembered: Keys::default(),
            in_flight: Arc::default(),
            counts: Counts::default(),
        };
        let Some(mode) = bookings.batch_mode().filter(|_| options.commit == Commit::Group) else {
            return (bookings, None);
        };
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let writer =
            tokio::spawn(group_commit::write(bookings.ledger.clone(), mode, bookings.processing_time, waiting));
        bookings.queue = Some(queue);
        (bookings, Some(writer))
    }

    /// Books a payment. When this future is dropped, `Finish` books it nevertheless, and `Cancel` does not.
    pub(crate) async fn book(self: &Arc<Self>, payment: Payment) -> Result<Treatment, BookingRefusal> {
        if self.mode != Dedup::None && self.missing_key == MissingKey::Refuse && payment.key.is_none() {
            return Err(BookingRefusal::MissingKey);
        }
        let (bookings, flight) = (Arc::clone(self), self.drain.begin());
        let booking = async move { bookings.book_in_mode(payment, flight).await };
        let treatment = match self.on_disconnect {
            OnDisconnect::Cancel => booking.await,
            OnDisconnect::Finish => tokio::spawn(booking).await.unwrap_or(Err(BookingRefusal::Failed)),
        };
        self.count(treatment);
        treatment
    }

    /// Empties the ledger and forgets every key.
    pub(crate) async fn clear(&self) -> Result<(), LedgerError> {
        let mut tx = self.ledger.begin().await?;
        tx.clear().await?;
        tx.commit().await?;
        self.remembered.clear();
        Ok(())
    }

    /// Counts a request that was read to its end.
    pub(crate) fn count_request(&self) {
        self.counts.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that was refused because of its content.
    pub(crate) fn count_refused(&self) {
        self.counts.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts since the start.
    pub(crate) fn counters(&self) -> ServiceCounters {
        let Counts { requests, booked, repeats, refused, failed } = &self.counts;
        let [requests, booked, repeats, refused, failed] =
            [requests, booked, repeats, refused, failed].map(|count| count.load(Ordering::Relaxed));
        ServiceCounters { requests, booked, repeats, refused, failed, in_flight: self.drain.count() }
    }

    async fn book_in_mode(
        self: Arc<Self>,
        payment: Payment,
        flight: TaskTrackerToken,
    ) -> Result<Treatment, BookingRefusal> {
        if let Some(mode) = self.batch_mode() {
            return self.book_batched(mode, payment, flight).await;
        }
        let (ledger, processing_time) = (&self.ledger, self.processing_time);
        let booked = match (self.mode, payment.key.as_deref()) {
            (Dedup::AckThenApply, _) => {
                tokio::spawn(Arc::clone(&self).apply_later(payment, flight));
                return Ok(Treatment::Accepted);
            }
            (Dedup::None | Dedup::UniqueKey | Dedup::Replay, _) | (_, None) => {
                return group_commit::book_one(ledger, BatchMode::None, processing_time, &payment).await;
            }
            (Dedup::CheckThenInsert, Some(key)) => {
                dedup::check_then_insert(ledger, &payment, key, processing_time).await
            }
            (Dedup::Memory, Some(key)) => dedup::memory(ledger, &payment, key, processing_time, &self.remembered).await,
            (Dedup::KeyThenApply, Some(key)) => dedup::key_then_apply(ledger, &payment, key, processing_time).await,
            (Dedup::ApplyThenKey, Some(key)) => dedup::apply_then_key(ledger, &payment, key, processing_time).await,
        };
        booked.map_err(|error| BookingRefusal::failed(ledger, &error))
    }

    async fn book_batched(
        &self,
        mode: BatchMode,
        payment: Payment,
        flight: TaskTrackerToken,
    ) -> Result<Treatment, BookingRefusal> {
        let in_flight = match (mode, &payment.key) {
            (BatchMode::Replay(_), Some(key)) => match InFlight::begin(&self.in_flight, key) {
                Some(first) => Some(first),
                None => return Ok(Treatment::InFlight),
            },
            (BatchMode::None | BatchMode::UniqueKey, _) | (BatchMode::Replay(_), None) => None,
        };
        let Some(queue) = &self.queue else {
            return group_commit::book_one(&self.ledger, mode, self.processing_time, &payment).await;
        };
        let (answer, answered) = oneshot::channel();
        let ticket = Ticket { payment, answer, _flight: flight, _in_flight: in_flight };
        queue.try_send(ticket).map_err(|_| BookingRefusal::Busy)?;
        answered.await.unwrap_or(Err(BookingRefusal::Failed))
    }

    async fn apply_later(self: Arc<Self>, payment: Payment, _flight: TaskTrackerToken) {
        if let Err(error) = dedup::apply_later(&self.ledger, &payment, self.processing_time).await {
            error!(error = self.ledger.explain(&error), "an acknowledged payment was not booked");
        }
    }

    /// The mode, if it is one that books whole batches.
    const fn batch_mode(&self) -> Option<BatchMode> {
        match self.mode {
            Dedup::None => Some(BatchMode::None),
            Dedup::UniqueKey => Some(BatchMode::UniqueKey),
            Dedup::Replay => Some(BatchMode::Replay(self.key_ttl)),
            Dedup::CheckThenInsert
            | Dedup::Memory
            | Dedup::KeyThenApply
            | Dedup::ApplyThenKey
            | Dedup::AckThenApply => None,
        }
    }

    fn count(&self, treatment: Result<Treatment, BookingRefusal>) {
        let Counts { requests: _, booked, repeats, refused, failed } = &self.counts;
        let count = match treatment {
            Ok(Treatment::Booked | Treatment::Accepted) => booked,
            Ok(Treatment::Repeat | Treatment::Replayed(_)) => repeats,
            Ok(Treatment::KeyReused | Treatment::InFlight) | Err(BookingRefusal::MissingKey) => refused,
            Err(BookingRefusal::Busy | BookingRefusal::Failed) => failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures::stream::{FuturesUnordered, StreamExt as _};
    use paylab_core::{duration_text::DurationText, money::MinorUnits};

    use super::*;

    #[tokio::test]
    async fn a_payment_is_refused_at_once_when_the_queue_is_full() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("ledger.db").display());
        let options = Options {
            listen: ([127, 0, 0, 1], 0).into(),
            database: url.into(),
            schema: None,
            dedup: Dedup::None,
            on_disconnect: OnDisconnect::Cancel,
            processing_time: DurationText::from_ms(3_600_000),
            key_ttl: None,
            missing_key: MissingKey::Book,
            commit: Commit::Group,
        };
        let ledger = Ledger::open(&options.database, None).await.unwrap();
        let (bookings, _writer) = Bookings::new(ledger, &options);
        let bookings = Arc::new(bookings);
        let payment = || Payment {
            reference: None,
            key: None,
            src: "bianca".to_owned(),
            dest: "marc".to_owned(),
            amount: MinorUnits(100),
        };
        // One more than fit in the queue and in the batch that was taken from it.
        let crowd = group_commit::QUEUE_MAX + group_commit::BATCH_MAX + 1;
        let mut waiting: FuturesUnordered<_> = (0..crowd).map(|_| bookings.book(payment())).collect();
        assert_eq!(waiting.next().await, Some(Err(BookingRefusal::Busy)));
    }
}
