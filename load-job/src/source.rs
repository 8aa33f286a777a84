//! The source of the ledger, from which the judge learns what was booked. One file for each kind. It must not judge: a ledger that is
//! cut or missing is handed on as it is, and the judge sees that it is not whole.

mod sealed_ndjson;

use paylab_core::witness::ledger::LedgerTally;

use crate::control::ControlError;

/// The kinds of source.
#[derive(Debug)]
pub(crate) enum LedgerSource<'a> {
    /// The sealed stream of Paylab's own service at this address (`HOST:PORT`).
    SealedNdjson {
        /// The service.
        address: &'a str,
    },
}

impl LedgerSource<'_> {
    /// Reads the ledger and adds it up.
    pub(crate) async fn read(&self, tally: &mut LedgerTally) -> Result<(), ControlError> {
        match self {
            Self::SealedNdjson { address } => sealed_ndjson::read(address, tally).await,
        }
    }
}
