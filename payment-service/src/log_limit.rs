//! Log lines that repeat are limited: a database that fails makes thousands of equal lines in a second, and hides all others.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};
use tracing::{error, warn};

/// After a line, further ones of its kind are held back for this long.
const QUIET: Duration = Duration::from_secs(1);

/// The lines of the service that can repeat, each a kind of its own.
#[derive(Debug)]
pub(crate) struct ServiceLog {
    /// A request was not booked.
    pub(crate) booking_failed: LimitedLine,
    /// The payments of a batch are booked one by one.
    pub(crate) batch_failed: LimitedLine,
    /// A payment that was acknowledged was not booked.
    pub(crate) acknowledged_lost: LimitedLine,
    /// A request that does not book has failed.
    pub(crate) ledger_failed: LimitedLine,
    /// The ledger was sent in part.
    pub(crate) export_failed: LimitedLine,
}

impl Default for ServiceLog {
    fn default() -> Self {
        Self {
            booking_failed: LimitedLine::new(|error, suppressed| error!(error, suppressed, "booking failed")),
            batch_failed: LimitedLine::new(|error, suppressed| {
                warn!(error, suppressed, "a batch failed; booking its payments one by one");
            }),
            acknowledged_lost: LimitedLine::new(|error, suppressed| {
                error!(error, suppressed, "an acknowledged payment was not booked");
            }),
            ledger_failed: LimitedLine::new(|error, suppressed| error!(error, suppressed, "the ledger failed")),
            export_failed: LimitedLine::new(|error, suppressed| {
                error!(error, suppressed, "the ledger cannot be read to its end");
            }),
        }
    }
}

/// A kind of line. The first is written at once; after it, at most one each second, with the latest cause and with the number of lines
/// that it stands for.
#[derive(Clone)]
pub(crate) struct LimitedLine {
    write: Write,
    held: Arc<Mutex<Held>>,
}

/// Writes a line with a cause, and with the number of lines that it stands for.
type Write = Arc<dyn Fn(&str, u64) + Send + Sync>;

/// What is held back.
#[derive(Debug, Default)]
struct Held {
    /// Until then no line is written; `None` before the first.
    quiet_until: Option<Instant>,
    suppressed: u64,
    latest: String,
}

impl LimitedLine {
    /// `write` takes the cause, and the number of lines since the last one that were not written.
    pub(crate) fn new(write: impl Fn(&str, u64) + Send + Sync + 'static) -> Self {
        Self { write: Arc::new(write), held: Arc::default() }
    }

    /// Writes a line, now or together with others at the end of the second. It must be called within a runtime.
    pub(crate) fn write(&self, cause: String) {
        let now = Instant::now();
        let mut held = self.lock();
        match held.quiet_until {
            // While lines are held back, this one is told of with them, even if their second has just ended.
            Some(until) if now < until || held.suppressed > 0 => {
                held.suppressed += 1;
                held.latest = cause;
                if held.suppressed == 1 {
                    tokio::spawn(self.clone().write_held(until));
                }
            }
            Some(_) | None => {
                held.quiet_until = Some(now + QUIET);
                // The lock is not held while a line is written, which may take long.
                drop(held);
                (self.write)(&cause, 0);
            }
        }
    }

    async fn write_held(self, until: Instant) {
        sleep_until(until).await;
        let (cause, suppressed) = {
            let mut held = self.lock();
            held.quiet_until = Some(Instant::now() + QUIET);
            (mem::take(&mut held.latest), mem::take(&mut held.suppressed))
        };
        (self.write)(&cause, suppressed);
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // A panic while the lock is held cannot leave it half-changed, so a poisoned lock is still good.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for LimitedLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LimitedLine").field("held", &self.held).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep};

    use super::*;

    /// A little longer, so that what happens at the end of the second has happened.
    const QUIET_AND_MORE: Duration = Duration::from_millis(1_010);

    /// The lines that were written: the cause and the number of those held back.
    type Written = Arc<Mutex<Vec<(String, u64)>>>;

    fn line() -> (LimitedLine, Written) {
        let written = Written::default();
        let to = Arc::clone(&written);
        (LimitedLine::new(move |cause, suppressed| to.lock().unwrap().push((cause.to_owned(), suppressed))), written)
    }

    fn taken(written: &Written) -> Vec<(String, u64)> {
        mem::take(&mut written.lock().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_line_is_written_at_once_and_then_one_each_second_with_the_number_of_the_others() {
        let (line, written) = line();
        for number in 0..5000 {
            line.write(format!("cause {number}"));
        }
        assert_eq!(taken(&written), [("cause 0".to_owned(), 0)]);
        sleep(QUIET_AND_MORE).await;
        assert_eq!(taken(&written), [("cause 4999".to_owned(), 4999)], "none is forgotten");
        line.write("soon again".to_owned());
        assert_eq!(taken(&written), [], "the second after that line is quiet as well");
        sleep(QUIET_AND_MORE).await;
        assert_eq!(taken(&written), [("soon again".to_owned(), 1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn lines_that_are_a_second_apart_are_all_written_at_once() {
        let (line, written) = line();
        for cause in ["one", "two", "three"] {
            line.write(cause.to_owned());
            assert_eq!(taken(&written), [(cause.to_owned(), 0)]);
            advance(QUIET).await;
        }
        sleep(QUIET_AND_MORE).await;
        assert_eq!(taken(&written), []);
    }

    #[tokio::test(start_paused = true)]
    async fn twenty_five_seconds_of_failures_are_at_most_26_lines() {
        let (line, written) = line();
        let begun = Instant::now();
        let mut count = 0_u64;
        while begun.elapsed() < 25 * QUIET {
            line.write("the database is gone".to_owned());
            count += 1;
            advance(Duration::from_millis(1)).await;
        }
        sleep(QUIET_AND_MORE).await;
        let written = taken(&written);
        assert!((2..=26).contains(&written.len()), "{}", written.len());
        let told: u64 = written.iter().map(|(_, suppressed)| (*suppressed).max(1)).sum();
        assert_eq!(told, count, "every failure is told of");
    }
}
