//! One request on its way to its mode: who looks at its key, whether it is grouped with others, what becomes of it when its
//! caller hangs up, and the counts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use paylab_experiment::{
    contract::ServiceCounters,
    spec::{Dedup, MissingKey, OnDisconnect},
};
use paylab_part::flights::Flights;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::error;

use crate::{
    dedup::{self, Answer, Keys},
    ledger::{Ledger, LedgerError},
    options::{Commit, Options},
    request::Payment,
    writer::{self, Batched, QUEUE_MAX, Ticket},
};

/// Books requests in one mode.
#[derive(Debug)]
pub(crate) struct Bookings {
    pub(crate) ledger: Ledger,
    pub(crate) flights: Flights,
    mode: Dedup,
    on_disconnect: OnDisconnect,
    missing_key: MissingKey,
    gap: Duration,
    key_ttl: Option<Duration>,
    /// Absent where each request commits alone.
    queue: Option<mpsc::Sender<Ticket>>,
    /// What `Memory` remembers.
    remembered: Keys,
    /// What `Replay` has not answered yet.
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

/// Why a payment is not booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// 400: the mode needs a key.
    MissingKey,
    /// 503: too many requests wait.
    Busy,
    /// 500: the database has failed. The log says why.
    Failed,
}

/// The first request with a key, until its commit.
#[derive(Debug)]
pub(crate) struct InFlight {
    keys: Arc<Keys>,
    key: String,
}

impl Bookings {
    /// Ready to book, and the writer to be waited for at the end, where there is one.
    pub(crate) fn new(ledger: Ledger, options: &Options) -> (Self, Option<JoinHandle<()>>) {
        let mut bookings = Self {
            ledger,
            flights: Flights::default(),
            mode: options.dedup,
            on_disconnect: options.on_disconnect,
            missing_key: options.missing_key,
            gap: options.processing_time.duration(),
            key_ttl: options.key_ttl.map(paylab_experiment::span::Span::duration),
            queue: None,
            remembered: Keys::default(),
            in_flight: Arc::default(),
            counts: Counts::default(),
        };
        let Some(mode) = bookings.batched().filter(|_| options.commit == Commit::Group) else {
            return (bookings, None);
        };
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let writer = tokio::spawn(writer::write(bookings.ledger.clone(), mode, bookings.gap, waiting));
        bookings.queue = Some(queue);
        (bookings, Some(writer))
    }

    /// Books a payment. With `Finish` it is booked to its end though this future is dropped, with `Cancel` it is not.
    pub(crate) async fn book(self: &Arc<Self>, payment: Payment) -> Result<Answer, Refusal> {
        if self.mode != Dedup::None && self.missing_key == MissingKey::Refuse && payment.key.is_none() {
            return Err(Refusal::MissingKey);
        }
        let (bookings, flight) = (Arc::clone(self), self.flights.begin());
        let booking = async move { bookings.book_in_mode(payment, flight).await };
        let answer = match self.on_disconnect {
            OnDisconnect::Cancel => booking.await,
            OnDisconnect::Finish => tokio::spawn(booking).await.unwrap_or(Err(Refusal::Failed)),
        };
        self.count(answer);
        answer
    }

    /// Empties the ledger and forgets every key.
    pub(crate) async fn clear(&self) -> Result<(), LedgerError> {
        let mut tx = self.ledger.begin().await?;
        tx.clear().await?;
        tx.commit().await?;
        self.remembered.clear();
        Ok(())
    }

    /// A whole request has come.
    pub(crate) fn count_request(&self) {
        self.counts.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// A request was refused for what it says.
    pub(crate) fn count_refused(&self) {
        self.counts.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted since the start.
    pub(crate) fn counters(&self) -> ServiceCounters {
        let Counts { requests, booked, repeats, refused, failed } = &self.counts;
        let [requests, booked, repeats, refused, failed] =
            [requests, booked, repeats, refused, failed].map(|count| count.load(Ordering::Relaxed));
        ServiceCounters { requests, booked, repeats, refused, failed, in_flight: self.flights.count() }
    }

    async fn book_in_mode(self: Arc<Self>, payment: Payment, flight: TaskTrackerToken) -> Result<Answer, Refusal> {
        if let Some(mode) = self.batched() {
            return self.book_batched(mode, payment, flight).await;
        }
        let (ledger, gap) = (&self.ledger, self.gap);
        let booked = match (self.mode, payment.key.as_deref()) {
            (Dedup::AckThenApply, _) => {
                tokio::spawn(Arc::clone(&self).apply_later(payment, flight));
                return Ok(Answer::Accepted);
            }
            (Dedup::None | Dedup::UniqueKey | Dedup::Replay, _) | (_, None) => {
                return writer::book_one(ledger, Batched::None, gap, &payment).await;
            }
            (Dedup::CheckThenInsert, Some(key)) => dedup::check_then_insert(ledger, &payment, key, gap).await,
            (Dedup::Memory, Some(key)) => dedup::memory(ledger, &payment, key, gap, &self.remembered).await,
            (Dedup::KeyThenApply, Some(key)) => dedup::key_then_apply(ledger, &payment, key, gap).await,
            (Dedup::ApplyThenKey, Some(key)) => dedup::apply_then_key(ledger, &payment, key, gap).await,
        };
        booked.map_err(|error| Refusal::failed(ledger, &error))
    }

    async fn book_batched(&self, mode: Batched, payment: Payment, flight: TaskTrackerToken) -> Result<Answer, Refusal> {
        let in_flight = match (mode, &payment.key) {
            (Batched::Replay(_), Some(key)) => match InFlight::begin(&self.in_flight, key) {
                Some(first) => Some(first),
                None => return Ok(Answer::InFlight),
            },
            (Batched::None | Batched::UniqueKey, _) | (Batched::Replay(_), None) => None,
        };
        let Some(queue) = &self.queue else {
            return writer::book_one(&self.ledger, mode, self.gap, &payment).await;
        };
        let (answer, answered) = oneshot::channel();
        let ticket = Ticket { payment, answer, _flight: flight, _in_flight: in_flight };
        queue.try_send(ticket).map_err(|_| Refusal::Busy)?;
        answered.await.unwrap_or(Err(Refusal::Failed))
    }

    async fn apply_later(self: Arc<Self>, payment: Payment, _flight: TaskTrackerToken) {
        if let Err(error) = dedup::apply_later(&self.ledger, &payment, self.gap).await {
            error!(error = self.ledger.explain(&error), "an acknowledged payment was not booked");
        }
    }

    /// The modes that book whole batches.
    const fn batched(&self) -> Option<Batched> {
        match self.mode {
            Dedup::None => Some(Batched::None),
            Dedup::UniqueKey => Some(Batched::UniqueKey),
            Dedup::Replay => Some(Batched::Replay(self.key_ttl)),
            Dedup::CheckThenInsert
            | Dedup::Memory
            | Dedup::KeyThenApply
            | Dedup::ApplyThenKey
            | Dedup::AckThenApply => None,
        }
    }

    fn count(&self, answer: Result<Answer, Refusal>) {
        let Counts { requests: _, booked, repeats, refused, failed } = &self.counts;
        let count = match answer {
            Ok(Answer::Booked | Answer::Accepted) => booked,
            Ok(Answer::Repeat | Answer::Replayed(_)) => repeats,
            Ok(Answer::KeyReused | Answer::InFlight) | Err(Refusal::MissingKey) => refused,
            Err(Refusal::Busy | Refusal::Failed) => failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Refusal {
    /// A failure of the database, which only the log may describe.
    pub(crate) fn failed(ledger: &Ledger, error: &LedgerError) -> Self {
        error!(error = ledger.explain(error), "booking failed");
        Self::Failed
    }
}

impl InFlight {
    /// `None` when another request with this key has not ended.
    fn begin(keys: &Arc<Keys>, key: &str) -> Option<Self> {
        keys.insert(key).then(|| Self { keys: Arc::clone(keys), key: key.to_owned() })
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.keys.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use futures::stream::{FuturesUnordered, StreamExt as _};
    use paylab_experiment::{money::MinorUnits, span::Span};

    use super::*;

    #[tokio::test]
    async fn who_comes_when_too_many_wait_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("ledger.db").display());
        let options = Options {
            listen: ([127, 0, 0, 1], 0).into(),
            database: url.into(),
            schema: None,
            dedup: Dedup::None,
            on_disconnect: OnDisconnect::Cancel,
            processing_time: Span::from_ms(3_600_000),
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
        // More than the queue and the batch that the writer has taken from it.
        let crowd = writer::QUEUE_MAX + writer::BATCH_MAX + 1;
        let mut waiting: FuturesUnordered<_> = (0..crowd).map(|_| bookings.book(payment())).collect();
        assert_eq!(waiting.next().await, Some(Err(Refusal::Busy)));
    }
}
