//! The ledger as a sealed stream: one JSON object a line, and a footer that proves that the stream is whole.

use paylab_core::witness::ledger::LedgerTally;
use paylab_part::contract::LEDGER_PATH;

use crate::control::{ControlError, read_lines};

/// Fetches the stream of the service at `address` and adds its lines up.
pub(super) async fn read(address: &str, tally: &mut LedgerTally) -> Result<(), ControlError> {
    read_lines(address, LEDGER_PATH, |line| tally.take(line)).await
}
