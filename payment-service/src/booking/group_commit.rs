//! Group commit: one task takes all payments in the queue, books them in one transaction, and answers after the commit. There is no
//! timer, so a single request is booked at once.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::warn;

use super::{in_flight::InFlight, refusal::BookingRefusal};
use crate::{
    dedup::{self, Treatment},
    ledger::{Ledger, LedgerError},
    payment::Payment,
};

/// The most bookings in one transaction.
pub(crate) const BATCH_MAX: usize = 512;
/// The most requests that may wait; further ones are refused.
pub(crate) const QUEUE_MAX: usize = 4096;

/// One request that waits for its commit.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) payment: Payment,
    pub(crate) answer: oneshot::Sender<Result<Treatment, BookingRefusal>>,
    /// Kept until the commit, so that a drain waits for it.
    pub(crate) _flight: TaskTrackerToken,
    /// Kept until the commit, so that a repeat is answered with 409.
    pub(crate) _in_flight: Option<InFlight>,
}

/// The modes that book batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BatchMode {
    None,
    UniqueKey,
    Replay(Option<Duration>),
}

/// Books until every sender is gone and the queue is empty.
pub(crate) async fn write(
    ledger: Ledger,
    mode: BatchMode,
    processing_time: Duration,
    mut queue: mpsc::Receiver<Ticket>,
) {
    let mut tickets = Vec::with_capacity(BATCH_MAX);
    while queue.recv_many(&mut tickets, BATCH_MAX).await > 0 {
        // A booking that was cancelled before it began is not booked.
        tickets.retain(|ticket| !ticket.answer.is_closed());
        let answers = book_all(&ledger, mode, processing_time, &tickets).await;
        for (ticket, answer) in tickets.drain(..).zip(answers) {
            // When the caller has hung up meanwhile, only the response is lost.
            let _ = ticket.answer.send(answer);
        }
    }
}

/// Books a batch; when that fails, each payment alone, so that one bad payment does not affect the others.
async fn book_all(
    ledger: &Ledger,
    mode: BatchMode,
    processing_time: Duration,
    tickets: &[Ticket],
) -> Vec<Result<Treatment, BookingRefusal>> {
    let payments: Vec<_> = tickets.iter().map(|ticket| &ticket.payment).collect();
    match book(ledger, mode, processing_time, &payments).await {
        Ok(answers) => answers.into_iter().map(Ok).collect(),
        Err(error) if payments.len() <= 1 => vec![Err(BookingRefusal::failed(ledger, &error))],
        Err(error) => {
            warn!(
                error = ledger.explain(&error),
                rows = payments.len(),
                "a batch failed; booking its payments one by one"
            );
            let mut answers = Vec::with_capacity(payments.len());
            for payment in payments {
                answers.push(book_one(ledger, mode, processing_time, payment).await);
            }
            answers
        }
    }
}

/// Books one request in a transaction of its own.
pub(crate) async fn book_one(
    ledger: &Ledger,
    mode: BatchMode,
    processing_time: Duration,
    payment: &Payment,
) -> Result<Treatment, BookingRefusal> {
    match book(ledger, mode, processing_time, &[payment]).await {
        Ok(answers) => answers.first().copied().ok_or(BookingRefusal::Failed),
        Err(error) => Err(BookingRefusal::failed(ledger, &error)),
    }
}

async fn book(
    ledger: &Ledger,
    mode: BatchMode,
    processing_time: Duration,
    batch: &[&Payment],
) -> Result<Vec<Treatment>, LedgerError> {
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    match mode {
        BatchMode::None => dedup::none(ledger, batch, processing_time).await,
        BatchMode::UniqueKey => dedup::unique_key(ledger, batch, processing_time).await,
        BatchMode::Replay(ttl) => dedup::replay(ledger, batch, processing_time, ttl).await,
    }
}
