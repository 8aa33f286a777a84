//! The ledger, on either of two databases. All SQL is in this folder.

mod explain;
mod failure;
mod migrations;
mod postgres;
mod session;
mod sqlite;
mod transaction;
mod url;

use std::{fmt, sync::Arc, time::Duration};

pub use self::{
    failure::OpenError,
    postgres::{create_schema, drop_schema},
    url::{BadUrl, DATABASE_ENV, DatabaseKind, DatabaseUrl, UrlOrigin},
};
pub(crate) use self::{
    failure::{Failure, LedgerError},
    session::Progress,
    transaction::Tx,
};
use self::{postgres::PostgresConnections, sqlite::SqliteConnections};

/// How long a database server may take to connect, to give a connection, and to answer a statement. A statement may also have to wait for
/// the processing time of another booking.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// An open ledger.
#[derive(Clone)]
pub(crate) struct Ledger {
    url: Arc<DatabaseUrl>,
    connections: Connections,
    /// Of the booking that this handle was made for.
    progress: Arc<Progress>,
}

/// The connections to either database.
#[derive(Clone)]
enum Connections {
    Sqlite(SqliteConnections),
    Postgres(PostgresConnections),
}

impl Ledger {
    /// Opens the database and makes its tables. Transactions may stay open for the processing time.
    pub(crate) async fn open(
        url: &DatabaseUrl,
        schema: Option<&str>,
        processing_time: Duration,
    ) -> Result<Self, OpenError> {
        let within = ANSWER_WITHIN.saturating_add(processing_time);
        let connections = match url.kind()? {
            DatabaseKind::Sqlite => Connections::Sqlite(SqliteConnections::open(url).await?),
            DatabaseKind::Postgres => Connections::Postgres(PostgresConnections::open(url, schema, within).await?),
        };
        Ok(Self { url: Arc::new(url.clone()), connections, progress: Arc::default() })
    }

    /// A handle for one booking, with a progress of its own.
    pub(crate) fn for_one_booking(&self) -> Self {
        Self { url: Arc::clone(&self.url), connections: self.connections.clone(), progress: Arc::default() }
    }

    /// How far the booking of this handle has come.
    pub(crate) const fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// The cause of a failure, without any part of the URL.
    pub(crate) fn explain(&self, error: &LedgerError) -> String {
        error.explain(&self.url)
    }

    /// Begins a transaction that writes.
    pub(crate) async fn begin(&self) -> Result<Tx, LedgerError> {
        let connection = match &self.connections {
            Connections::Sqlite(connections) => connections.begin().await?,
            Connections::Postgres(connections) => connections.begin().await?,
        };
        Ok(Tx::new(connection, Arc::clone(&self.progress)))
    }

    /// Begins a transaction that reads one consistent snapshot of the ledger.
    pub(crate) async fn snapshot(&self) -> Result<Tx, LedgerError> {
        let connection = match &self.connections {
            Connections::Sqlite(connections) => connections.snapshot().await?,
            Connections::Postgres(connections) => connections.snapshot().await?,
        };
        Ok(Tx::new(connection, Arc::clone(&self.progress)))
    }

    /// Waits for transactions in flight and closes the database.
    pub(crate) async fn close(&self) {
        match &self.connections {
            Connections::Sqlite(connections) => connections.close().await,
            Connections::Postgres(connections) => connections.close().await,
        }
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("url", &self.url).finish_non_exhaustive()
    }
}
