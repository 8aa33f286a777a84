//! Books each payment in the service's mode: alone or in a group, to its end or until its caller hangs up; and counts.

mod cancelling;
mod counting;
mod group_commit;
mod in_flight;
mod refusal;

use std::{sync::Arc, time::Duration};

use paylab_core::{
    payment::AttemptId,
    probability::Probability,
    targets::ours::{Dedup, FAIL_AFTER, MissingKey, OnDisconnect},
    witness::ledger::ServiceCounters,
};
use paylab_part::drain::DrainTracker;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use self::{
    cancelling::unless_hung_up,
    counting::Counts,
    group_commit::{Answer, BatchMode, GroupCommit, QUEUE_MAX, Ticket},
    in_flight::InFlight,
};
pub(crate) use self::{counting::OpenRequest, refusal::BookingRefusal};
use crate::{
    dedup::{self, Keys, Treatment},
    ledger::{Ledger, LedgerError},
    log_limit::ServiceLog,
    options::{Commit, Options},
    payment::Payment,
};

/// Books requests in one mode.
#[derive(Debug)]
pub(crate) struct Bookings {
    pub(crate) ledger: Ledger,
    pub(crate) drain: DrainTracker,
    pub(crate) log: Arc<ServiceLog>,
    /// Cancelled when the service ends and no longer waits for its bookings.
    pub(crate) abandoned: CancellationToken,
    mode: Dedup,
    on_disconnect: OnDisconnect,
    missing_key: MissingKey,
    processing_time: Duration,
    key_ttl: Option<Duration>,
    fail_after: Probability,
    seed: u64,
    /// Absent when each request commits alone.
    queue: Option<mpsc::Sender<Ticket>>,
    /// The keys that `Memory` remembers.
    remembered: Keys,
    /// The keys that `Replay` has not answered yet.
    in_flight: Arc<Keys>,
    counts: Arc<Counts>,
}

impl Bookings {
    /// Returns with it the task of the group commit, if there is one, which must be awaited at the end.
    pub(crate) fn new(ledger: Ledger, options: &Options) -> (Self, Option<JoinHandle<()>>) {
        let mut bookings = Self {
            ledger,
            drain: DrainTracker::default(),
            log: Arc::default(),
            abandoned: CancellationToken::new(),
            mode: options.dedup,
            on_disconnect: options.on_disconnect,
            missing_key: options.missing_key,
            processing_time: options.processing_time.duration(),
            key_ttl: options.key_ttl.map(|ttl| ttl.duration()),
            fail_after: options.fail_after,
            seed: options.seed,
            queue: None,
            remembered: Keys::default(),
            in_flight: Arc::default(),
            counts: Arc::default(),
        };
        let Some(mode) = bookings.batch_mode().filter(|_| bookings.commits_in_groups(options.commit)) else {
            return (bookings, None);
        };
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let group_commit = GroupCommit {
            ledger: bookings.ledger.clone(),
            mode,
            processing_time: bookings.processing_time,
            log: Arc::clone(&bookings.log),
        };
        bookings.queue = Some(queue);
        (bookings, Some(tokio::spawn(group_commit.run(waiting))))
    }

    /// Counts a request that was received whole.
    pub(crate) fn begin(&self) -> OpenRequest {
        OpenRequest::begin(&self.counts, &self.drain)
    }

    /// Books a payment, in a task of its own. When this future is dropped, `Finish` books it nevertheless, and `Cancel` drops it at the step
    /// that it has reached.
    pub(crate) async fn book(self: &Arc<Self>, payment: Payment, request: OpenRequest) -> Answer {
        let bookings = Arc::clone(self);
        if self.mode == Dedup::AckThenApply && !self.lacks_key(&payment) {
            tokio::spawn(bookings.apply_later(payment, request));
            return Ok(Treatment::Accepted);
        }
        let caller = CancellationToken::new();
        let hung_up = caller.clone();
        let _caller = caller.drop_guard();
        tokio::spawn(bookings.book_and_count(payment, request, hung_up)).await.unwrap_or(Err(BookingRefusal::Failed))
    }

    /// Whether the answer to an attempt says that it has failed, although it was booked.
    pub(crate) fn fails_after(&self, treatment: Treatment, attempt: Option<AttemptId>) -> bool {
        let was_booked = matches!(treatment, Treatment::Booked | Treatment::Accepted);
        was_booked && attempt.is_some_and(|attempt| self.fail_after.happens(self.seed, attempt, FAIL_AFTER))
    }

    /// Empties the ledger and forgets every key.
    pub(crate) async fn clear(&self) -> Result<(), LedgerError> {
        let mut tx = self.ledger.begin().await?;
        tx.clear().await?;
        tx.commit().await?;
        self.remembered.clear();
        Ok(())
    }

    /// The counts since the start.
    pub(crate) fn counters(&self) -> ServiceCounters {
        self.counts.read(self.drain.count())
    }

    async fn book_and_count(
        self: Arc<Self>,
        payment: Payment,
        request: OpenRequest,
        hung_up: CancellationToken,
    ) -> Answer {
        let ledger = self.ledger.for_one_booking();
        let booking = self.book_in_mode(&ledger, payment);
        let booking = async {
            match self.on_disconnect {
                OnDisconnect::Finish => booking.await,
                OnDisconnect::Cancel => unless_hung_up(booking, hung_up.cancelled(), ledger.progress()).await,
            }
        };
        let answer = self.unless_abandoned(booking).await;
        request.end(answer, ledger.progress());
        answer
    }

    async fn apply_later(self: Arc<Self>, payment: Payment, request: OpenRequest) {
        let ledger = self.ledger.for_one_booking();
        let booking = async {
            dedup::apply_later(&ledger, &payment, self.processing_time).await.map_err(|error| {
                self.log.acknowledged_lost.write(ledger.explain(&error));
                BookingRefusal::Failed
            })
        };
        let answer = self.unless_abandoned(booking).await;
        if answer == Err(BookingRefusal::Dropped) {
            self.log.acknowledged_lost.write("the service has ended before".to_owned());
        }
        request.end(answer, ledger.progress());
    }

    async fn unless_abandoned(&self, booking: impl Future<Output = Answer>) -> Answer {
        tokio::select! {
            biased;
            answer = booking => answer,
            () = self.abandoned.cancelled() => Err(BookingRefusal::Dropped),
        }
    }

    async fn book_in_mode(&self, ledger: &Ledger, payment: Payment) -> Answer {
        if self.lacks_key(&payment) {
            return Err(BookingRefusal::MissingKey);
        }
        if let Some(mode) = self.batch_mode() {
            return self.book_batched(ledger, mode, payment).await;
        }
        let processing_time = self.processing_time;
        let booked = match (self.mode, payment.key.as_deref()) {
            (Dedup::CheckThenInsert, Some(key)) => {
                dedup::check_then_insert(ledger, &payment, key, processing_time).await
            }
            (Dedup::Memory, Some(key)) => dedup::memory(ledger, &payment, key, processing_time, &self.remembered).await,
            (Dedup::KeyThenApply, Some(key)) => dedup::key_then_apply(ledger, &payment, key, processing_time).await,
            (Dedup::ApplyThenKey, Some(key)) => dedup::apply_then_key(ledger, &payment, key, processing_time).await,
            // The others book batches, or later.
            (Dedup::None | Dedup::UniqueKey | Dedup::Replay | Dedup::AckThenApply, _) | (_, None) => {
                group_commit::book_one(ledger, BatchMode::None, processing_time, &payment).await
            }
        };
        booked.map_err(|error| self.failed(&error))
    }

    async fn book_batched(&self, ledger: &Ledger, mode: BatchMode, payment: Payment) -> Answer {
        let in_flight = match (mode, &payment.key) {
            (BatchMode::Replay(_), Some(key)) => match InFlight::begin(&self.in_flight, key) {
                Some(first) => Some(first),
                None => return Ok(Treatment::InFlight),
            },
            (BatchMode::None | BatchMode::UniqueKey, _) | (BatchMode::Replay(_), None) => None,
        };
        let Some(queue) = &self.queue else {
            let booked = group_commit::book_one(ledger, mode, self.processing_time, &payment).await;
            // Only now the key may be used again.
            drop(in_flight);
            return booked.map_err(|error| self.failed(&error));
        };
        let (answer, answered) = oneshot::channel();
        queue.try_send(Ticket { payment, answer, in_flight }).map_err(|_| BookingRefusal::Busy)?;
        answered.await.unwrap_or(Err(BookingRefusal::Failed))
    }

    /// Logs a failure of the database, whose cause is not shown to the caller.
    fn failed(&self, error: &LedgerError) -> BookingRefusal {
        self.log.booking_failed.write(self.ledger.explain(error));
        BookingRefusal::Failed
    }

    fn lacks_key(&self, payment: &Payment) -> bool {
        self.mode != Dedup::None && self.missing_key == MissingKey::Refuse && payment.key.is_none()
    }

    /// With `Cancel` each request has a transaction of its own, which is rolled back when its caller hangs up. Nobody can take a payment
    /// out of a group.
    fn commits_in_groups(&self, commit: Commit) -> bool {
        commit == Commit::Group && self.on_disconnect == OnDisconnect::Finish
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
            on_disconnect: OnDisconnect::Finish,
            processing_time: DurationText::from_ms(3_600_000),
            key_ttl: None,
            missing_key: MissingKey::Book,
            fail_after: Probability::NEVER,
            seed: 0,
            commit: Commit::Group,
        };
        let ledger = Ledger::open(&options.database, None, Duration::ZERO).await.unwrap();
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
        let mut waiting: FuturesUnordered<_> = (0..crowd).map(|_| bookings.book(payment(), bookings.begin())).collect();
        assert_eq!(waiting.next().await, Some(Err(BookingRefusal::Busy)));
    }
}
