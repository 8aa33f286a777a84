//! The source of the ledger, from which the judge learns what was booked. One file for each kind. It must not judge: a ledger that is
//! cut or missing is handed on as it is, and the judge sees that it is not whole.

mod foreign;
mod sealed_ndjson;

use paylab_contract::Contract;
use paylab_core::witness::ledger::LedgerTally;

pub(crate) use self::foreign::ForeignLedger;
use crate::{control::ControlError, load::Load};

/// The kinds of source.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LedgerSource<'a> {
    /// The sealed stream of Paylab's own service.
    SealedNdjson {
        /// Whose share is asked for, and where.
        load: &'a Load,
    },
    /// The ledger of a service of the user's own.
    Foreign {
        /// Whose share is asked for.
        load: &'a Load,
        /// Where, and how it is read.
        contract: &'a Contract,
    },
}

impl<'a> LedgerSource<'a> {
    /// The source of a load's ledger.
    pub(crate) fn of(load: &'a Load) -> Self {
        load.contract.as_deref().map_or(Self::SealedNdjson { load }, |contract| Self::Foreign { load, contract })
    }

    /// Reads the ledger and adds it up.
    pub(crate) async fn read(&self, tally: &mut LedgerTally) -> Result<(), ControlError> {
        self.read_each(tally, &mut |_| ()).await
    }

    /// Reads the ledger, adds it up, and hands on each of its lines.
    pub(crate) async fn read_each(
        &self,
        tally: &mut LedgerTally,
        each: &mut impl FnMut(&[u8]),
    ) -> Result<(), ControlError> {
        match self {
            Self::SealedNdjson { load } => sealed_ndjson::read(load, tally, each).await,
            Self::Foreign { load, contract } => foreign::read(load, contract, tally, each).await,
        }
    }
}
