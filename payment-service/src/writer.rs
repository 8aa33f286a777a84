//! Group commit: one writer takes whatever has queued, books it in one transaction, and answers after the commit. There is no
//! timer, so a lone request waits for nobody.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::warn;

use crate::{
    bookings::{InFlight, Refusal},
    dedup::{self, Answer},
    ledger::{Ledger, LedgerError},
    request::Payment,
};

/// Bookings in one transaction at most.
pub(crate) const BATCH_MAX: usize = 512;
/// Requests that may wait; more are refused before anything is enqueued.
pub(crate) const QUEUE_MAX: usize = 4096;

/// One request that waits for its commit.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) payment: Payment,
    pub(crate) answer: oneshot::Sender<Result<Answer, Refusal>>,
    /// Kept until the commit, so that a drain waits for it.
    pub(crate) _flight: TaskTrackerToken,
    /// Kept until the commit, so that a repeat is told so.
    pub(crate) _in_flight: Option<InFlight>,
}

/// The modes that book batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Batched {
    None,
    UniqueKey,
    Replay(Option<Duration>),
}

/// Writes until nobody can enqueue any more and the queue is empty.
pub(crate) async fn write(ledger: Ledger, mode: Batched, gap: Duration, mut queue: mpsc::Receiver<Ticket>) {
    let mut tickets = Vec::with_capacity(BATCH_MAX);
    while queue.recv_many(&mut tickets, BATCH_MAX).await > 0 {
        // Whoever has cancelled a booking that is not yet begun gets what it asked for.
        tickets.retain(|ticket| !ticket.answer.is_closed());
        let answers = book_all(&ledger, mode, gap, &tickets).await;
        for (ticket, answer) in tickets.drain(..).zip(answers) {
            // A caller that has gone meanwhile misses only the answer.
            let _ = ticket.answer.send(answer);
        }
    }
}

/// Books a batch; when that fails, each row alone, so that one bad row spoils no other.
async fn book_all(ledger: &Ledger, mode: Batched, gap: Duration, tickets: &[Ticket]) -> Vec<Result<Answer, Refusal>> {
    let payments: Vec<_> = tickets.iter().map(|ticket| &ticket.payment).collect();
    match book(ledger, mode, gap, &payments).await {
        Ok(answers) => answers.into_iter().map(Ok).collect(),
        Err(error) if payments.len() <= 1 => vec![Err(Refusal::failed(ledger, &error))],
        Err(error) => {
            warn!(error = ledger.explain(&error), rows = payments.len(), "batch failed, booking row by row");
            let mut answers = Vec::with_capacity(payments.len());
            for payment in payments {
                answers.push(book_one(ledger, mode, gap, payment).await);
            }
            answers
        }
    }
}

/// Books one request in a transaction of its own.
pub(crate) async fn book_one(
    ledger: &Ledger,
    mode: Batched,
    gap: Duration,
    payment: &Payment,
) -> Result<Answer, Refusal> {
    match book(ledger, mode, gap, &[payment]).await {
        Ok(answers) => answers.first().copied().ok_or(Refusal::Failed),
        Err(error) => Err(Refusal::failed(ledger, &error)),
    }
}

async fn book(ledger: &Ledger, mode: Batched, gap: Duration, batch: &[&Payment]) -> Result<Vec<Answer>, LedgerError> {
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    match mode {
        Batched::None => dedup::none(ledger, batch, gap).await,
        Batched::UniqueKey => dedup::unique_key(ledger, batch, gap).await,
        Batched::Replay(ttl) => dedup::replay(ledger, batch, gap, ttl).await,
    }
}
