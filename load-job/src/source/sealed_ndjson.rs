//! The ledger as a sealed stream: one JSON object a line, and a footer that proves that the stream is whole.

use paylab_experiment::{contract::LEDGER_PATH, ledger::LedgerTally};

use crate::control::{ControlError, read_lines};

/// Fetches the stream of the service at `address` and adds its lines up.
pub(super) async fn read(address: &str, tally: &mut LedgerTally) -> Result<(), ControlError> {
    read_lines(address, LEDGER_PATH, |line| tally.take(line)).await
}
