//! The connections to a PostgreSQL database, and the schema that a ledger may have there for itself.

use sqlx::{
    ConnectOptions as _, Connection as _, Executor as _, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{
    failure::{LedgerError, OpenError},
    transaction::Tx,
    url::DatabaseUrl,
};

/// Connections at most.
const CONNECTIONS_MAX: u32 = 16;

/// A pool of connections.
#[derive(Clone)]
pub(super) struct PostgresConnections(PgPool);

impl PostgresConnections {
    /// Connects to the database, creates the schema if one is asked for, and makes the tables.
    pub(super) async fn open(url: &DatabaseUrl, schema: Option<&str>) -> Result<Self, OpenError> {
        let failed = |error| OpenError::connect(&error, url);
        let mut options = url.postgres()?;
        if let Some(schema) = schema {
            check_schema(schema)?;
            on_schema(url, options.clone(), format!("create schema if not exists {schema}")).await?;
            options = options.options([("search_path", schema)]);
        }
        // The first connection is not from the pool, which would retry for half a minute when nothing listens.
        let mut first = options.connect().await.map_err(failed)?;
        let migrated = sqlx::migrate!("migrations/postgres").run(&mut first).await;
        migrated.map_err(|error| OpenError::migrate(&error, url))?;
        first.close().await.map_err(failed)?;
        Ok(Self(PgPoolOptions::new().max_connections(CONNECTIONS_MAX).connect_lazy_with(options)))
    }

    pub(super) async fn begin(&self) -> Result<Tx, LedgerError> {
        Ok(Tx::Postgres(self.0.begin().await?))
    }

    pub(super) async fn snapshot(&self) -> Result<Tx, LedgerError> {
        Ok(Tx::Postgres(self.0.begin_with("begin isolation level repeatable read read only").await?))
    }

    pub(super) async fn close(&self) {
        self.0.close().await;
    }
}

/// Creates a schema of a PostgreSQL database, for a ledger that nothing has been booked in.
///
/// # Errors
/// The schema exists already, or the database cannot be reached or refuses.
pub async fn create_schema(url: &DatabaseUrl, schema: &str) -> Result<(), OpenError> {
    check_schema(schema)?;
    on_schema(url, url.postgres()?, format!("create schema {schema}")).await
}

/// Drops a schema of a PostgreSQL database with everything in it.
///
/// # Errors
/// The database cannot be reached or refuses.
pub async fn drop_schema(url: &DatabaseUrl, schema: &str) -> Result<(), OpenError> {
    check_schema(schema)?;
    on_schema(url, url.postgres()?, format!("drop schema if exists {schema} cascade")).await
}

async fn on_schema(url: &DatabaseUrl, options: PgConnectOptions, statement: String) -> Result<(), OpenError> {
    let failed = |error| OpenError::connect(&error, url);
    let mut connection = options.connect().await.map_err(failed)?;
    connection.execute(sqlx::AssertSqlSafe(statement)).await.map_err(failed)?;
    connection.close().await.map_err(failed)
}

/// A schema's name cannot be a parameter of a statement, so only names that need no quotes are accepted.
fn check_schema(schema: &str) -> Result<(), OpenError> {
    let fits = (1..=63).contains(&schema.len()) && !schema.starts_with(|first: char| first.is_ascii_digit());
    let clean = schema.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if fits && clean { Ok(()) } else { Err(OpenError::Schema(schema.to_owned())) }
}
