//! Group commit: one task takes all payments in the queue, books them in one transaction, and answers after the commit. There is no
//! timer, so a single request is booked at once.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot};

use super::{in_flight::InFlight, refusal::BookingRefusal};
use crate::{
    dedup::{self, Treatment},
    ledger::{Failure, Ledger, LedgerError},
    log_limit::ServiceLog,
    payment::Payment,
};

/// The most bookings in one transaction.
pub(crate) const BATCH_MAX: usize = 512;
/// The most requests that may wait; further ones are refused.
pub(crate) const QUEUE_MAX: usize = 4096;

/// What a request is answered.
pub(crate) type Answer = Result<Treatment, BookingRefusal>;

/// One request that waits for its commit.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) payment: Payment,
    pub(crate) answer: oneshot::Sender<Answer>,
    /// Kept until the commit, so that a repeat is answered with 409.
    pub(crate) in_flight: Option<InFlight>,
}

/// The modes that book batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BatchMode {
    None,
    UniqueKey,
    Replay(Option<Duration>),
}

/// The task that books what is in the queue.
#[derive(Debug)]
pub(crate) struct GroupCommit {
    pub(crate) ledger: Ledger,
    pub(crate) mode: BatchMode,
    pub(crate) processing_time: Duration,
    pub(crate) log: Arc<ServiceLog>,
}

/// Whether the database answers at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contact {
    Good,
    /// It has not answered in time.
    Silent,
}

impl GroupCommit {
    /// Books until every sender is gone and the queue is empty.
    pub(crate) async fn run(self, mut queue: mpsc::Receiver<Ticket>) {
        let mut tickets = Vec::with_capacity(BATCH_MAX);
        while queue.recv_many(&mut tickets, BATCH_MAX).await > 0 {
            let (answers, contact) = self.book_all(&tickets).await;
            for (ticket, answer) in tickets.drain(..).zip(answers) {
                respond(ticket, answer);
            }
            if contact == Contact::Silent {
                // What has come meanwhile would wait just as long, one batch after the other. Nothing of it is booked.
                while let Ok(ticket) = queue.try_recv() {
                    respond(ticket, Err(BookingRefusal::Failed));
                }
            }
        }
    }

    /// Books a batch. If the database refuses it, or the connection breaks before the commit, nothing of it is booked, and each payment
    /// is booked alone, so that one bad payment does not affect the others. After a commit that has failed nothing is booked again:
    /// perhaps everything is booked already, and only the answer was lost.
    async fn book_all(&self, tickets: &[Ticket]) -> (Vec<Answer>, Contact) {
        let payments: Vec<_> = tickets.iter().map(|ticket| &ticket.payment).collect();
        let error = match book(&self.ledger, self.mode, self.processing_time, &payments).await {
            Ok(treatments) => return (treatments.into_iter().map(Ok).collect(), Contact::Good),
            Err(error) => error,
        };
        let cause = self.ledger.explain(&error);
        match error.failure() {
            Failure::Refused | Failure::Disconnected if payments.len() > 1 => {
                self.log.batch_failed.write(cause);
                return self.book_one_by_one(&payments).await;
            }
            Failure::Refused | Failure::Disconnected | Failure::Silent | Failure::Ambiguous => {
                self.log.booking_failed.write(cause);
            }
        }
        (vec![Err(BookingRefusal::Failed); payments.len()], contact_after(&error))
    }

    /// Books each payment alone, until the database fails in a way in which it will fail for the next one as well.
    async fn book_one_by_one(&self, payments: &[&Payment]) -> (Vec<Answer>, Contact) {
        let (mut answers, mut contact) = (Vec::with_capacity(payments.len()), Contact::Good);
        for payment in payments {
            let error = match book_one(&self.ledger, self.mode, self.processing_time, payment).await {
                Ok(treatment) => {
                    answers.push(Ok(treatment));
                    continue;
                }
                Err(error) => error,
            };
            self.log.booking_failed.write(self.ledger.explain(&error));
            answers.push(Err(BookingRefusal::Failed));
            if error.failure() != Failure::Refused {
                contact = contact_after(&error);
                break;
            }
        }
        answers.resize(payments.len(), Err(BookingRefusal::Failed));
        (answers, contact)
    }
}

const fn contact_after(error: &LedgerError) -> Contact {
    if error.is_silence() { Contact::Silent } else { Contact::Good }
}

fn respond(ticket: Ticket, answer: Answer) {
    let Ticket { payment: _, answer: waiting, in_flight } = ticket;
    drop(in_flight);
    // Nobody waits only when the service ends.
    let _ = waiting.send(answer);
}

/// Books one request in a transaction of its own.
pub(crate) async fn book_one(
    ledger: &Ledger,
    mode: BatchMode,
    processing_time: Duration,
    payment: &Payment,
) -> Result<Treatment, LedgerError> {
    let treatments = book(ledger, mode, processing_time, &[payment]).await?;
    // There is one for each payment.
    Ok(treatments[0])
}

async fn book(
    ledger: &Ledger,
    mode: BatchMode,
    processing_time: Duration,
    batch: &[&Payment],
) -> Result<Vec<Treatment>, LedgerError> {
    match mode {
        BatchMode::None => dedup::none(ledger, batch, processing_time).await,
        BatchMode::UniqueKey => dedup::unique_key(ledger, batch, processing_time).await,
        BatchMode::Replay(ttl) => dedup::replay(ledger, batch, processing_time, ttl).await,
    }
}
