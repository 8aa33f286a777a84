//! The connections to an SQLite file: one that writes, several that read.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{
    SqlitePool,
    sqlite::{SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{
    failure::{LedgerError, OpenError},
    transaction::Tx,
    url::DatabaseUrl,
};

/// Connections that read; a single other one writes.
const READERS: u32 = 2;
/// The write-ahead log is moved to the database when it has this many pages (32 MiB). A large log writes the same page less often.
const CHECKPOINT_PAGES: u32 = 8192;
/// How long a writer waits for another process that has locked the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// One writer and several readers.
#[derive(Clone)]
pub(super) struct SqliteConnections {
    writer: SqlitePool,
    /// Set from the begin of a writing transaction to the success of its commit.
    is_uncommitted: Arc<AtomicBool>,
    readers: SqlitePool,
}

impl SqliteConnections {
    /// Opens or creates the file and makes its tables.
    pub(super) async fn open(url: &DatabaseUrl) -> Result<Self, OpenError> {
        let options = url
            .sqlite()?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES.to_string())
            .busy_timeout(BUSY_TIMEOUT);
        let is_uncommitted = Arc::new(AtomicBool::new(false));
        let writer = writing(&is_uncommitted).connect_with(options.clone()).await;
        let writer = writer.map_err(|error| OpenError::connect(&error, url))?;
        let migrated = sqlx::migrate!("migrations/sqlite").run(&writer).await;
        migrated.map_err(|error| OpenError::migrate(&error, url))?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            // A failed transaction must not continue in the next one, and opening a file again is cheap.
            .after_release(|_, _| Box::pin(async { Ok(false) }))
            .connect_lazy_with(options);
        Ok(Self { writer, is_uncommitted, readers })
    }

    pub(super) async fn begin(&self) -> Result<Tx, LedgerError> {
        let transaction = self.writer.begin().await?;
        self.is_uncommitted.store(true, Ordering::Release);
        Ok(Tx::Sqlite { transaction, is_uncommitted: Arc::clone(&self.is_uncommitted) })
    }

    pub(super) async fn snapshot(&self) -> Result<Tx, LedgerError> {
        Ok(Tx::Sqlite { transaction: self.readers.begin().await?, is_uncommitted: Arc::default() })
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// The pool of the one connection that writes. When the disk is full, SQLite may end a transaction by itself. The library that counts
/// the open transactions does not notice, takes the next transaction for a nested one, and "commits" what is never written. So a
/// connection whose last transaction was not committed is never used again: closing it rolls back whatever it holds.
fn writing(is_uncommitted: &Arc<AtomicBool>) -> SqlitePoolOptions {
    let is_uncommitted = Arc::clone(is_uncommitted);
    SqlitePoolOptions::new().max_connections(1).before_acquire(move |_, _| {
        let is_usable = !is_uncommitted.swap(false, Ordering::AcqRel);
        Box::pin(async move { Ok(is_usable) })
    })
}
