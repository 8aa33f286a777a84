//! The source of the ledger, from which the judge learns what was booked. One file for each kind. It must not judge: a ledger that is
//! cut or missing is handed on as it is, and the judge sees that it is not whole.

mod sealed_ndjson;

use paylab_core::witness::ledger::LedgerTally;

use crate::{control::ControlError, load::Load};

/// The kinds of source.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LedgerSource<'a> {
    /// The sealed stream of Paylab's own service.
    SealedNdjson {
        /// Whose share is asked for, and where.
        load: &'a Load,
    },
}

impl LedgerSource<'_> {
    /// Reads the ledger and adds it up.
    pub(crate) async fn read(&self, tally: &mut LedgerTally) -> Result<(), ControlError> {
        match self {
            Self::SealedNdjson { load } => sealed_ndjson::read(load, tally).await,
        }
    }
}
