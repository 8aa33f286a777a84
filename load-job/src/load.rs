//! What a worker is to send, and where the other parts are.

use std::{ops::Range, time::Duration};

use paylab_core::{plan::Plan, run_id::RunId};

/// One share of an experiment, and where the other parts are (`HOST:PORT` each).
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// What to send and how.
    pub plan: Plan,
    /// Names the run.
    pub run: RunId,
    /// Where payments go.
    pub proxy: String,
    /// Where the proxy takes rules and shows its record.
    pub control: String,
    /// Where the payment service shows its ledger.
    pub service: String,
    /// Which of `plan.client.workers`, from 0.
    pub worker: u32,
    /// The proxy's rules lapse this long after the load has last renewed them.
    pub lease: Duration,
    /// How long the proxy may be out of reach before the load begins.
    pub patience: Duration,
}

impl Load {
    /// The payments of this share; none when the plan has no such worker.
    #[must_use]
    pub const fn share(&self) -> Range<u64> {
        if self.worker < self.plan.client.workers {
            self.plan.share(self.worker, self.plan.client.workers)
        } else {
            0..0
        }
    }
}
