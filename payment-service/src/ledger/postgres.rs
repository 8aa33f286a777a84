//! The connections to a PostgreSQL database, and the schema that a ledger may have there for itself.

use std::time::Duration;

use futures::future::join_all;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;
use tracing::info;

use super::{
    ANSWER_WITHIN,
    failure::{LedgerError, OpenError},
    migrations,
    session::{Session, answered},
    transaction::Connection,
    url::DatabaseUrl,
};

/// Connections at most.
const CONNECTIONS_MAX: u32 = 16;
/// Connections at least: one books while another reads the ledger.
const CONNECTIONS_MIN: u32 = 2;
/// How long the server may take to make the tables, or to drop a schema with everything in it.
const SCHEMA_WITHIN: Duration = Duration::from_secs(60);
/// The code with which PostgreSQL refuses one connection more.
const TOO_MANY_CONNECTIONS: &str = "53300";

/// A pool of connections.
#[derive(Clone)]
pub(super) struct PostgresConnections {
    pool: PgPool,
    /// How long a statement may take.
    within: Duration,
}

impl PostgresConnections {
    /// Connects to the database, creates the schema if one is asked for, makes the tables, and looks how many connections there are.
    pub(super) async fn open(url: &DatabaseUrl, schema: Option<&str>, within: Duration) -> Result<Self, OpenError> {
        if let Some(schema) = schema {
            check_schema(schema)?;
        }
        // Without this, the library would log every slow statement, and a line for each is too much.
        let mut options = url.postgres()?.disable_statement_logging();
        // The first connection is not from the pool, which would retry for a long time when nothing listens.
        let mut first = connect(&options, url).await?;
        if let Some(schema) = schema {
            execute(&mut first, url, format!("create schema if not exists {schema}")).await?;
            execute(&mut first, url, format!("set search_path to {schema}")).await?;
            options = options.options([("search_path", schema)]);
        }
        let migrated = timeout(SCHEMA_WITHIN, migrations::postgres().run(&mut first)).await;
        let migrated = migrated.map_err(|_| OpenError::silent(SCHEMA_WITHIN, url))?;
        migrated.map_err(|error| OpenError::migrate(&error, url))?;
        let connections = count_connections(&options, url).await?;
        close(first).await;
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(within)
            // A wait that is long and succeeds is not worth a line each.
            .acquire_slow_threshold(within)
            .connect_lazy_with(options);
        Ok(Self { pool, within })
    }

    pub(super) async fn begin(&self) -> Result<Connection, LedgerError> {
        self.begin_with("begin").await
    }

    pub(super) async fn snapshot(&self) -> Result<Connection, LedgerError> {
        self.begin_with("begin isolation level repeatable read read only").await
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    async fn begin_with(&self, statement: &'static str) -> Result<Connection, LedgerError> {
        let mut session = Session::new(self.pool.acquire().await?);
        answered(ANSWER_WITHIN, session.connection.execute(statement)).await?;
        Ok(Connection::Postgres { session, within: self.within })
    }
}

/// Creates a schema of a PostgreSQL database, for a ledger that nothing has been booked in.
///
/// # Errors
/// The schema exists already, or the database cannot be reached or refuses.
pub async fn create_schema(url: &DatabaseUrl, schema: &str) -> Result<(), OpenError> {
    check_schema(schema)?;
    let mut connection = connect(&url.postgres()?, url).await?;
    execute(&mut connection, url, format!("create schema {schema}")).await?;
    close(connection).await;
    Ok(())
}

/// Drops a schema of a PostgreSQL database with everything in it.
///
/// # Errors
/// The database cannot be reached or refuses.
pub async fn drop_schema(url: &DatabaseUrl, schema: &str) -> Result<(), OpenError> {
    check_schema(schema)?;
    let mut connection = connect(&url.postgres()?, url).await?;
    execute(&mut connection, url, format!("drop schema if exists {schema} cascade")).await?;
    close(connection).await;
    Ok(())
}

/// How many connections the pool may have, beside the one that is open. All are opened at the same time, because nothing else tells: there
/// are limits of the role, of the database, of the server and of what stands in between. A pool that may have more than it can get would
/// wait in vain for further ones while its own are free. With a few less, the service is slower and does the same.
async fn count_connections(options: &PgConnectOptions, url: &DatabaseUrl) -> Result<u32, OpenError> {
    let opened = join_all((1..CONNECTIONS_MAX).map(|_| timeout(ANSWER_WITHIN, options.connect()))).await;
    let opened: Vec<_> = opened.into_iter().flatten().flatten().collect();
    let found = u32::try_from(opened.len()).unwrap_or(u32::MAX).saturating_add(1);
    join_all(opened.into_iter().map(close)).await;
    if found < CONNECTIONS_MIN {
        return Err(too_few(found, url));
    }
    if found < CONNECTIONS_MAX {
        info!(connections = found, most = CONNECTIONS_MAX, "the database server has few connections left");
    }
    Ok(found)
}

const fn too_few(found: u32, url: &DatabaseUrl) -> OpenError {
    OpenError::TooFewConnections { origin: url.origin(), found, needed: CONNECTIONS_MIN, most: CONNECTIONS_MAX }
}

async fn connect(options: &PgConnectOptions, url: &DatabaseUrl) -> Result<PgConnection, OpenError> {
    let connected = timeout(ANSWER_WITHIN, options.connect()).await;
    connected.map_err(|_| OpenError::silent(ANSWER_WITHIN, url))?.map_err(|error| match &error {
        sqlx::Error::Database(refusal) if refusal.code().as_deref() == Some(TOO_MANY_CONNECTIONS) => too_few(0, url),
        _ => OpenError::connect(&error, url),
    })
}

async fn execute(connection: &mut PgConnection, url: &DatabaseUrl, statement: String) -> Result<(), OpenError> {
    let executed = timeout(SCHEMA_WITHIN, connection.execute(AssertSqlSafe(statement))).await;
    let executed = executed.map_err(|_| OpenError::silent(SCHEMA_WITHIN, url))?;
    executed.map(drop).map_err(|error| OpenError::connect(&error, url))
}

/// Says goodbye to the server. If that is not possible, it notices the end of the connection by itself.
async fn close(connection: PgConnection) {
    let _ = timeout(ANSWER_WITHIN, connection.close()).await;
}

/// A schema's name cannot be a parameter of a statement, so only names that need no quotes are accepted.
fn check_schema(schema: &str) -> Result<(), OpenError> {
    let fits = (1..=63).contains(&schema.len()) && !schema.starts_with(|first: char| first.is_ascii_digit());
    let clean = schema.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if fits && clean { Ok(()) } else { Err(OpenError::Schema(schema.to_owned())) }
}
