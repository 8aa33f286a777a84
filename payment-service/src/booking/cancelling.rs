//! Drops a booking whose caller has hung up, at the step that it has reached.

use std::{future::poll_fn, pin::pin, task::Poll};

use super::refusal::BookingRefusal;
use crate::{dedup::Treatment, ledger::Progress};

/// Runs a booking until its end or until its caller hangs up. An open transaction is rolled back then. A commit that was sent is awaited,
/// because it cannot be taken back; the booking is dropped after it.
pub(super) async fn unless_hung_up(
    booking: impl Future<Output = Result<Treatment, BookingRefusal>>,
    hung_up: impl Future<Output = ()>,
    progress: &Progress,
) -> Result<Treatment, BookingRefusal> {
    let (mut booking, mut hung_up) = (pin!(booking), pin!(hung_up));
    poll_fn(|context| {
        if let Poll::Ready(end) = booking.as_mut().poll(context) {
            return Poll::Ready(end);
        }
        // While a commit is under way, its answer wakes this task.
        if !progress.is_committing() && hung_up.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(BookingRefusal::Dropped));
        }
        Poll::Pending
    })
    .await
}
