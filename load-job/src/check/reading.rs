//! What the ledger shows of a payment, now, in the end, or once it has settled.

use std::time::Duration;

use paylab_contract::ledger::{ForeignEntry, Ledger};
use paylab_core::payment::PaymentId;
use tokio::time::{Instant, sleep};

use super::{Checking, PAUSE_MIN};
use crate::{control::ControlError, source::ForeignLedger};

impl Checking<'_> {
    pub(super) fn ledger(&self) -> ForeignLedger<'_> {
        let tls = self.load.tls.as_ref();
        ForeignLedger { contract: self.contract, plan: &self.load.plan, run: &self.run, tls }
    }

    /// The entries of a payment now.
    pub(super) async fn entries_of(&self, payment: u64) -> Result<Vec<ForeignEntry>, ControlError> {
        if let Ledger::Total(total) = &self.contract.ledger {
            return self.risen(total, payment).await;
        }
        let (reference, mut entries) = (self.reference(payment), Vec::new());
        let take = |of: &str, entry| {
            if of == reference {
                entries.push(entry);
            }
        };
        let PaymentId(index) = self.id(payment).payment;
        self.ledger().each_entry(index..index + 1, take).await?;
        Ok(entries)
    }

    /// The entries of a payment once there are so many, or when the ledger should have settled.
    pub(super) async fn found(&self, payment: u64, many: usize) -> Result<Vec<ForeignEntry>, ControlError> {
        self.found_within(payment, many, self.contract.settle.within.duration()).await
    }

    pub(super) async fn found_within(
        &self,
        payment: u64,
        many: usize,
        within: Duration,
    ) -> Result<Vec<ForeignEntry>, ControlError> {
        let begun = Instant::now();
        let mut pause = PAUSE_MIN;
        loop {
            let found = self.entries_of(payment).await?;
            if found.len() >= many {
                self.lag.set(self.lag.get().max(begun.elapsed()));
                return Ok(found);
            }
            if begun.elapsed() + pause > within {
                return Ok(found);
            }
            sleep(pause).await;
            pause = (pause * 2).min(self.contract.settle.quiet.duration().max(PAUSE_MIN));
        }
    }

    /// The entries of a payment, once two readings are the same.
    pub(super) async fn settled(&self, payment: u64) -> Result<Vec<ForeignEntry>, ControlError> {
        let until = Instant::now() + self.contract.settle.within.duration();
        let mut before = self.entries_of(payment).await?;
        loop {
            sleep(self.contract.settle.quiet.duration()).await;
            let now = self.entries_of(payment).await?;
            if now == before || Instant::now() >= until {
                return Ok(now);
            }
            before = now;
        }
    }
}
