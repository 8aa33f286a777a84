//! The ledger of Paylab's own service: NDJSON with a seal. Entries of other workers' payments are left out by the service.

use paylab_core::witness::ledger::LedgerTally;
use paylab_part::contract::LEDGER_PATH;

use crate::{
    control::{ControlError, read_lines},
    load::Load,
};

/// Reads the part of the ledger that the load's share needs, line by line.
pub(super) async fn read(
    load: &Load,
    tally: &mut LedgerTally,
    each: &mut impl FnMut(&[u8]),
) -> Result<(), ControlError> {
    let share = load.share();
    let path = format!("{LEDGER_PATH}?run={}&from={}&to={}", load.run, share.start, share.end);
    read_lines(&load.service, &path, |line| {
        tally.take(line);
        each(line);
    })
    .await
}
