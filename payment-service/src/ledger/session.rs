//! One connection in a transaction, and how long the database may take to answer.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use sqlx::{Database, pool::PoolConnection};
use tokio::time::timeout;

use super::failure::LedgerError;

/// A connection in a transaction. A connection whose last transaction was not committed is never used again: closing it rolls back
/// whatever it holds, and a later answer to its last statement is not taken for the answer to another one.
///
/// It begins and commits with plain statements, not with the library's transactions, for two reasons. When the disk is full, SQLite may
/// end a transaction by itself; the library, which counts open transactions, does not notice, takes the next one for a nested one, and
/// "commits" what is never written. And the library gives a connection back to the pool after a failure, where it waits, without a
/// limit, for a server that has fallen silent.
pub(super) struct Session<DB: Database> {
    pub(super) connection: PoolConnection<DB>,
    is_committed: bool,
}

impl<DB: Database> Session<DB> {
    pub(super) const fn new(connection: PoolConnection<DB>) -> Self {
        Self { connection, is_committed: false }
    }

    /// Gives the connection back to the pool, after the commit was answered.
    pub(super) fn release(mut self) {
        self.is_committed = true;
    }
}

impl<DB: Database> Drop for Session<DB> {
    fn drop(&mut self) {
        if !self.is_committed {
            self.connection.close_on_drop();
        }
    }
}

/// How far the transactions of one booking have come.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    is_committing: AtomicBool,
    has_booked: AtomicBool,
}

impl Progress {
    /// Whether a commit was sent and is not answered: then the booking must not be dropped, because nobody would know what became of it.
    pub(crate) fn is_committing(&self) -> bool {
        self.is_committing.load(Ordering::Acquire)
    }

    /// Whether an entry was committed, whatever became of the booking after it.
    pub(crate) fn has_booked(&self) -> bool {
        self.has_booked.load(Ordering::Acquire)
    }

    pub(super) fn begin_commit(&self) {
        self.is_committing.store(true, Ordering::Release);
    }

    pub(super) fn end_commit(&self, has_booked: bool) {
        if has_booked {
            self.has_booked.store(true, Ordering::Release);
        }
        self.is_committing.store(false, Ordering::Release);
    }
}

/// Awaits the answer to a statement, for no longer than this.
pub(super) async fn answered<T>(
    within: Duration,
    statement: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, LedgerError> {
    match timeout(within, statement).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(LedgerError::silent(within)),
    }
}
