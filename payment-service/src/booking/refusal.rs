//! Why a payment is not booked.

use tracing::error;

use crate::ledger::{Ledger, LedgerError};

/// Why a payment is not booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BookingRefusal {
    /// 400: the mode needs a key.
    MissingKey,
    /// 503: the queue is full.
    Busy,
    /// 500: the database has failed. The log says why.
    Failed,
}

impl BookingRefusal {
    /// Logs a failure of the database, whose cause is not shown to the caller.
    pub(super) fn failed(ledger: &Ledger, error: &LedgerError) -> Self {
        error!(error = ledger.explain(error), "booking failed");
        Self::Failed
    }
}
