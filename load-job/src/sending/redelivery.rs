//! Payments that were acknowledged and will be asked for once more: one after the other, in the order of their acknowledgements, because
//! all wait for the same time.

use std::{collections::VecDeque, time::Duration};

use paylab_core::{
    payment::{AttemptId, PaymentId},
    witness::attempt::Belief,
};
use tokio::time::Instant;

use super::{Delivery, Stopped};
use crate::wire::KeptConnection;

/// The repeats that are still to be sent, the first one first.
#[derive(Debug, Default)]
pub(super) struct Redeliveries(VecDeque<(Instant, AttemptId)>);

impl Redeliveries {
    /// Notes a repeat that is due after this time.
    pub(super) fn put(&mut self, after: Duration, id: AttemptId) {
        self.0.push_back((Instant::now() + after, id));
    }

    /// The next repeat, if it is due.
    pub(super) fn take_due(&mut self) -> Option<AttemptId> {
        let is_due = self.0.front().is_some_and(|(due, _)| *due <= Instant::now());
        is_due.then(|| self.take()).flatten().map(|(_, id)| id)
    }

    /// The next repeat, and when it is due.
    pub(super) fn take(&mut self) -> Option<(Instant, AttemptId)> {
        self.0.pop_front()
    }
}

impl Delivery {
    /// Notes that a payment that has ended is asked for once more, if it was acknowledged and the seed says so.
    pub(super) fn plan_redelivery(&self, payment: PaymentId) {
        let Some(after) = self.plan().client.redelivered_after(self.plan().seed(), payment) else { return };
        let history = self.history.borrow();
        let acknowledged = history.row(payment).filter(|row| row.belief == Belief::Acknowledged);
        if let Some(row) = acknowledged {
            let id = AttemptId { payment, attempt: u32::from(row.attempts) + 1 };
            self.redeliveries.borrow_mut().put(after, id);
        }
    }

    /// Asks for the payments once more that are due. What is answered changes nothing of how they have ended.
    pub(super) async fn redeliver_due(&self, connections: &mut [KeptConnection]) -> Result<(), Stopped> {
        let Some(connection) = connections.first_mut() else { return Ok(()) };
        loop {
            let Some(id) = self.redeliveries.borrow_mut().take_due() else { return Ok(()) };
            self.reach(id, Instant::now(), connection).await?;
        }
    }

    /// One of `concurrency` senders of the repeats that are not due before the load has ended.
    pub(super) async fn redeliver_rest(&self) {
        let mut connection = KeptConnection::default();
        loop {
            let Some((due, id)) = self.redeliveries.borrow_mut().take() else { return };
            let redelivery = async {
                self.pause_until(due).await?;
                self.reach(id, Instant::now(), &mut connection).await
            };
            if redelivery.await.is_err() {
                return;
            }
        }
    }
}
