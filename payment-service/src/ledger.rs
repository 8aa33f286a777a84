//! The ledger, on either of two databases. All SQL is in this folder.

mod explain;
mod failure;
mod postgres;
mod sqlite;
mod transaction;
mod url;

use std::{fmt, sync::Arc};

pub(crate) use self::{failure::LedgerError, transaction::Tx};
pub use self::{
    failure::OpenError,
    postgres::{create_schema, drop_schema},
    url::{BadUrl, DATABASE_ENV, DatabaseKind, DatabaseUrl, UrlOrigin},
};
use self::{postgres::PostgresConnections, sqlite::SqliteConnections};

/// An open ledger.
#[derive(Clone)]
pub(crate) struct Ledger {
    url: Arc<DatabaseUrl>,
    connections: Connections,
}

/// The connections to either database.
#[derive(Clone)]
enum Connections {
    Sqlite(SqliteConnections),
    Postgres(PostgresConnections),
}

impl Ledger {
    /// Opens the database and makes its tables.
    pub(crate) async fn open(url: &DatabaseUrl, schema: Option<&str>) -> Result<Self, OpenError> {
        let connections = match url.kind()? {
            DatabaseKind::Sqlite => Connections::Sqlite(SqliteConnections::open(url).await?),
            DatabaseKind::Postgres => Connections::Postgres(PostgresConnections::open(url, schema).await?),
        };
        Ok(Self { url: Arc::new(url.clone()), connections })
    }

    /// The cause of a failure, without any part of the URL.
    pub(crate) fn explain(&self, error: &LedgerError) -> String {
        error.explain(&self.url)
    }

    /// Begins a transaction that writes.
    pub(crate) async fn begin(&self) -> Result<Tx, LedgerError> {
        match &self.connections {
            Connections::Sqlite(connections) => connections.begin().await,
            Connections::Postgres(connections) => connections.begin().await,
        }
    }

    /// Begins a transaction that reads one consistent snapshot of the ledger.
    pub(crate) async fn snapshot(&self) -> Result<Tx, LedgerError> {
        match &self.connections {
            Connections::Sqlite(connections) => connections.snapshot().await,
            Connections::Postgres(connections) => connections.snapshot().await,
        }
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
