//! The connections to an SQLite file: one that writes, several that read.

use std::time::Duration;

use sqlx::{
    Executor as _, SqlitePool,
    sqlite::{SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{
    failure::{LedgerError, OpenError},
    migrations,
    session::Session,
    transaction::Connection,
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
        let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await;
        let writer = writer.map_err(|error| OpenError::connect(&error, url))?;
        let migrated = migrations::sqlite().run(&writer).await;
        migrated.map_err(|error| OpenError::migrate(&error, url))?;
        let readers = SqlitePoolOptions::new().max_connections(READERS).connect_lazy_with(options);
        Ok(Self { writer, readers })
    }

    pub(super) async fn begin(&self) -> Result<Connection, LedgerError> {
        begin(&self.writer).await
    }

    pub(super) async fn snapshot(&self) -> Result<Connection, LedgerError> {
        begin(&self.readers).await
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

async fn begin(pool: &SqlitePool) -> Result<Connection, LedgerError> {
    let mut session = Session::new(pool.acquire().await?);
    session.connection.execute("begin").await?;
    Ok(Connection::Sqlite(session))
}
