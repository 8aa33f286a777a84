//! All SQL. A transaction belongs to its caller, who alone knows what must be in one; here is only what one statement does.

mod failure;
mod url;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use paylab_experiment::ledger::Entry;
use serde_json::json;
use sqlx::{
    ConnectOptions as _, Connection as _, Executor as _, PgPool, Postgres, Sqlite, SqlitePool, Transaction,
    migrate::MigrateError,
    postgres::{PgConnectOptions, PgPoolOptions, PgRow},
    sqlite::{SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};

pub(crate) use self::failure::LedgerError;
pub use self::url::{BadUrl, DATABASE_ENV, DatabaseKind, DatabaseUrl, UrlOrigin};
use crate::{error::Error, request::Payment};

/// Connections to PostgreSQL at most.
const POSTGRES_CONNECTIONS: u32 = 16;
/// Connections that read SQLite; a single other one writes.
const SQLITE_READERS: u32 = 2;
/// Pages in the write-ahead log (32 MiB) before they go to the database: the same page is then written less often.
const CHECKPOINT_PAGES: u32 = 8192;
/// A writer waits so long for another process that has the file.
const BUSY_FOR: Duration = Duration::from_secs(10);

/// An open ledger.
#[derive(Clone)]
pub(crate) struct Ledger {
    url: Arc<DatabaseUrl>,
    connections: Connections,
}

/// The connections to either database.
#[derive(Clone)]
enum Connections {
    /// One writer, several readers.
    Sqlite {
        writer: SqlitePool,
        /// Set from a writing transaction's begin to the success of its commit.
        unsettled: Arc<AtomicBool>,
        readers: SqlitePool,
    },
    Postgres(PgPool),
}

/// A transaction on either database.
pub(crate) enum Tx {
    Sqlite { transaction: Transaction<'static, Sqlite>, unsettled: Arc<AtomicBool> },
    Postgres(Transaction<'static, Postgres>),
}

/// What `Replay` has answered before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) fingerprint: String,
    pub(crate) status: i64,
}

/// The same statement on either database.
macro_rules! on_either {
    ($tx:expr, $connection:ident => $statement:expr) => {
        match $tx {
            Tx::Sqlite { transaction, .. } => {
                let $connection = &mut **transaction;
                $statement
            }
            Tx::Postgres(transaction) => {
                let $connection = &mut **transaction;
                $statement
            }
        }
    };
}

impl Ledger {
    /// Opens the database and makes its tables.
    pub(crate) async fn open(url: &DatabaseUrl, schema: Option<&str>) -> Result<Self, Error> {
        let connections = match url.kind().map_err(Error::Database)? {
            DatabaseKind::Sqlite => Connections::sqlite(url).await?,
            DatabaseKind::Postgres => Connections::postgres(url, schema).await?,
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
            Connections::Sqlite { writer, unsettled, readers: _ } => {
                let transaction = writer.begin().await?;
                unsettled.store(true, Ordering::Release);
                Ok(Tx::Sqlite { transaction, unsettled: Arc::clone(unsettled) })
            }
            Connections::Postgres(pool) => Ok(Tx::Postgres(pool.begin().await?)),
        }
    }

    /// Begins a transaction that sees one moment of the ledger and writes nothing.
    pub(crate) async fn snapshot(&self) -> Result<Tx, LedgerError> {
        match &self.connections {
            Connections::Sqlite { readers, .. } => {
                Ok(Tx::Sqlite { transaction: readers.begin().await?, unsettled: Arc::default() })
            }
            Connections::Postgres(pool) => {
                Ok(Tx::Postgres(pool.begin_with("begin isolation level repeatable read read only").await?))
            }
        }
    }

    /// Waits for what is under way and closes the database.
    pub(crate) async fn close(&self) {
        match &self.connections {
            Connections::Sqlite { writer, unsettled: _, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Connections::Postgres(pool) => pool.close().await,
        }
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Connections {
    async fn sqlite(url: &DatabaseUrl) -> Result<Self, Error> {
        let options = url
            .sqlite()?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES.to_string())
            .busy_timeout(BUSY_FOR);
        let unsettled = Arc::new(AtomicBool::new(false));
        let writer =
            writing(&unsettled).connect_with(options.clone()).await.map_err(|error| Error::open(&error, url))?;
        let migrated = sqlx::migrate!("migrations/sqlite").run(&writer).await;
        migrated.map_err(|error| Error::migrate(&error, url))?;
        let readers = SqlitePoolOptions::new()
            .max_connections(SQLITE_READERS)
            // A transaction that has gone wrong must not live on in the next one; opening a file anew is cheap.
            .after_release(|_, _| Box::pin(async { Ok(false) }))
            .connect_lazy_with(options);
        Ok(Self::Sqlite { writer, unsettled, readers })
    }

    async fn postgres(url: &DatabaseUrl, schema: Option<&str>) -> Result<Self, Error> {
        let opened = |error| Error::open(&error, url);
        let mut options = url.postgres()?;
        if let Some(schema) = schema {
            create_schema(url, options.clone(), schema).await?;
            options = options.options([("search_path", schema)]);
        }
        // Not from the pool, which would try again for half a minute where nobody listens.
        let mut first = options.connect().await.map_err(opened)?;
        let migrated = sqlx::migrate!("migrations/postgres").run(&mut first).await;
        migrated.map_err(|error| Error::migrate(&error, url))?;
        first.close().await.map_err(opened)?;
        Ok(Self::Postgres(PgPoolOptions::new().max_connections(POSTGRES_CONNECTIONS).connect_lazy_with(options)))
    }
}

/// The pool of the one connection that writes. When the disk is full, SQLite may end a transaction by itself. The library that counts
/// the open ones does not notice, takes the next for a part of it, and "commits" what is never written. So a connection whose last
/// transaction was not committed is never used again: closing it undoes what it holds, whatever that is.
fn writing(unsettled: &Arc<AtomicBool>) -> SqlitePoolOptions {
    let unsettled = Arc::clone(unsettled);
    SqlitePoolOptions::new().max_connections(1).before_acquire(move |_, _| {
        let is_settled = !unsettled.swap(false, Ordering::AcqRel);
        Box::pin(async move { Ok(is_settled) })
    })
}

impl Error {
    fn open(error: &sqlx::Error, url: &DatabaseUrl) -> Self {
        Self::Open(failure::explain(error, url), url.origin())
    }

    fn migrate(error: &MigrateError, url: &DatabaseUrl) -> Self {
        Self::Migrate(failure::explain_migration(error, url))
    }
}

/// Drops a schema of a PostgreSQL database with everything in it.
///
/// # Errors
/// The database cannot be reached or refuses.
pub async fn drop_schema(url: &DatabaseUrl, schema: &str) -> Result<(), Error> {
    check_schema(schema)?;
    on_schema(url, url.postgres()?, format!("drop schema if exists {schema} cascade")).await
}

async fn create_schema(url: &DatabaseUrl, options: PgConnectOptions, schema: &str) -> Result<(), Error> {
    check_schema(schema)?;
    on_schema(url, options, format!("create schema if not exists {schema}")).await
}

async fn on_schema(url: &DatabaseUrl, options: PgConnectOptions, statement: String) -> Result<(), Error> {
    let opened = |error| Error::open(&error, url);
    let mut connection = options.connect().await.map_err(opened)?;
    connection.execute(sqlx::AssertSqlSafe(statement)).await.map_err(opened)?;
    connection.close().await.map_err(opened)
}

/// A schema's name cannot be a parameter, so it must be one that needs no quotes.
fn check_schema(schema: &str) -> Result<(), Error> {
    let fits = (1..=63).contains(&schema.len()) && !schema.starts_with(|first: char| first.is_ascii_digit());
    let clean = schema.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if fits && clean { Ok(()) } else { Err(Error::Schema(schema.to_owned())) }
}

impl Tx {
    pub(crate) async fn commit(self) -> Result<(), LedgerError> {
        match self {
            Self::Sqlite { transaction, unsettled } => {
                transaction.commit().await?;
                unsettled.store(false, Ordering::Release);
                Ok(())
            }
            Self::Postgres(transaction) => Ok(transaction.commit().await?),
        }
    }

    /// Books payments without looking at their keys.
    pub(crate) async fn book(&mut self, payments: &[&Payment]) -> Result<(), LedgerError> {
        self.insert(payments, |_| None).await.map(drop)
    }

    /// Books those payments whose key is not in the ledger, and tells the keys that were new. Without a key every one is booked.
    pub(crate) async fn book_new(&mut self, payments: &[&Payment]) -> Result<HashSet<String>, LedgerError> {
        self.insert(payments, |payment| payment.key.as_deref()).await
    }

    async fn insert(
        &mut self,
        payments: &[&Payment],
        key: fn(&Payment) -> Option<&str>,
    ) -> Result<HashSet<String>, LedgerError> {
        let keys: Vec<Option<String>> = match self {
            Self::Sqlite { transaction, .. } => {
                let rows: Vec<_> =
                    payments.iter().map(|p| json!([p.reference, p.src, p.dest, p.amount.0, key(p)])).collect();
                sqlx::query_scalar(
                    "insert into entries (reference, src, dest, amount_minor, idempotency_key)
                     select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 from json_each($1) where true
                     on conflict (idempotency_key) do nothing
                     returning idempotency_key",
                )
                .bind(json!(rows).to_string())
                .fetch_all(&mut **transaction)
                .await?
            }
            Self::Postgres(transaction) => {
                let column = |of: fn(&Payment) -> &str| payments.iter().map(|p| of(p)).collect::<Vec<_>>();
                sqlx::query_scalar(
                    "insert into entries (reference, src, dest, amount_minor, idempotency_key)
                     select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[])
                     on conflict (idempotency_key) do nothing
                     returning idempotency_key",
                )
                .bind(payments.iter().map(|p| p.reference.as_deref()).collect::<Vec<_>>())
                .bind(column(|p| &p.src))
                .bind(column(|p| &p.dest))
                .bind(payments.iter().map(|p| p.amount.0).collect::<Vec<_>>())
                .bind(payments.iter().map(|p| key(p)).collect::<Vec<_>>())
                .fetch_all(&mut **transaction)
                .await?
            }
        };
        Ok(keys.into_iter().flatten().collect())
    }

    /// Stores the answer to each payment under its key, unless there is one that has not expired; tells the keys that were new.
    pub(crate) async fn store_answers(
        &mut self,
        payments: &[&Payment],
        status: u16,
        now_ms: i64,
        expires_at_ms: Option<i64>,
    ) -> Result<HashSet<String>, LedgerError> {
        let rows: Vec<_> = payments.iter().filter_map(|p| Some((p.key.clone()?, p.fingerprint()))).collect();
        let keys: Vec<String> = match self {
            Self::Sqlite { transaction, .. } => {
                sqlx::query_scalar(
                    "insert into replay_keys (idempotency_key, fingerprint, status, expires_at_ms)
                     select value ->> 0, value ->> 1, $2, $3 from json_each($1) where true
                     on conflict (idempotency_key) do update
                     set fingerprint = excluded.fingerprint, status = excluded.status, expires_at_ms = excluded.expires_at_ms
                     where replay_keys.expires_at_ms <= $4
                     returning idempotency_key",
                )
                .bind(json!(rows).to_string())
                .bind(i64::from(status))
                .bind(expires_at_ms)
                .bind(now_ms)
                .fetch_all(&mut **transaction)
                .await?
            }
            Self::Postgres(transaction) => {
                let (keys, fingerprints): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
                sqlx::query_scalar(
                    "insert into replay_keys (idempotency_key, fingerprint, status, expires_at_ms)
                     select k, f, $3::integer, $4::bigint from unnest($1::text[], $2::text[]) as u (k, f)
                     on conflict (idempotency_key) do update
                     set fingerprint = excluded.fingerprint, status = excluded.status, expires_at_ms = excluded.expires_at_ms
                     where replay_keys.expires_at_ms <= $5
                     returning idempotency_key",
                )
                .bind(keys)
                .bind(fingerprints)
                .bind(i32::from(status))
                .bind(expires_at_ms)
                .bind(now_ms)
                .fetch_all(&mut **transaction)
                .await?
            }
        };
        Ok(keys.into_iter().collect())
    }

    /// The answers that are stored under keys.
    pub(crate) async fn stored_answers(&mut self, keys: &[&str]) -> Result<HashMap<String, Stored>, LedgerError> {
        fn stored<R: sqlx::Row>(row: &R) -> Result<(String, Stored), sqlx::Error>
        where
            for<'a> String: sqlx::Decode<'a, R::Database> + sqlx::Type<R::Database>,
            for<'a> i64: sqlx::Decode<'a, R::Database> + sqlx::Type<R::Database>,
            usize: sqlx::ColumnIndex<R>,
        {
            Ok((row.try_get(0)?, Stored { fingerprint: row.try_get(1)?, status: row.try_get(2)? }))
        }
        match self {
            Self::Sqlite { transaction, .. } => {
                let rows: Vec<SqliteRow> = sqlx::query(
                    "select idempotency_key, fingerprint, status from replay_keys
                     where idempotency_key in (select value from json_each($1))",
                )
                .bind(json!(keys).to_string())
                .fetch_all(&mut **transaction)
                .await?;
                Ok(rows.iter().map(stored).collect::<Result<_, _>>()?)
            }
            Self::Postgres(transaction) => {
                let rows: Vec<PgRow> = sqlx::query(
                    "select idempotency_key, fingerprint, status::bigint from replay_keys where idempotency_key = any($1)",
                )
                .bind(keys)
                .fetch_all(&mut **transaction)
                .await?;
                Ok(rows.iter().map(stored).collect::<Result<_, _>>()?)
            }
        }
    }

    /// Whether a key was seen.
    pub(crate) async fn has_seen(&mut self, key: &str) -> Result<bool, LedgerError> {
        const SEEN: &str = "select count(*) from seen_keys where idempotency_key = $1";
        let count: i64 =
            on_either!(self, connection => sqlx::query_scalar(SEEN).bind(key).fetch_one(connection).await?);
        Ok(count > 0)
    }

    /// Notes that a key was seen.
    pub(crate) async fn note_seen(&mut self, key: &str) -> Result<(), LedgerError> {
        const NOTE: &str = "insert into seen_keys (idempotency_key) values ($1)";
        on_either!(self, connection => sqlx::query(NOTE).bind(key).execute(connection).await.map(drop)?);
        Ok(())
    }

    /// Claims a key; false when somebody has it.
    pub(crate) async fn claim(&mut self, key: &str) -> Result<bool, LedgerError> {
        const CLAIM: &str =
            "insert into claimed_keys (idempotency_key) values ($1) on conflict (idempotency_key) do nothing";
        let claimed =
            on_either!(self, connection => sqlx::query(CLAIM).bind(key).execute(connection).await?.rows_affected());
        Ok(claimed == 1)
    }

    /// The next entries after a number, in order.
    pub(crate) async fn entries_after(&mut self, id: i64, limit: i64) -> Result<Vec<Entry>, LedgerError> {
        const PAGE: &str =
            "select id, reference, src, dest, amount_minor from entries where id > $1 order by id limit $2";
        type Columns = (i64, Option<String>, String, String, i64);
        let rows: Vec<Columns> =
            on_either!(self, connection => sqlx::query_as(PAGE).bind(id).bind(limit).fetch_all(connection).await?);
        let entry = |(id, reference, src, dest, amount_minor)| Entry { id, reference, src, dest, amount_minor };
        Ok(rows.into_iter().map(entry).collect())
    }

    /// The sum of all entries, in minor units.
    pub(crate) async fn total_minor(&mut self) -> Result<i64, LedgerError> {
        const TOTAL: &str = "select cast(coalesce(sum(amount_minor), 0) as bigint) from entries";
        Ok(on_either!(self, connection => sqlx::query_scalar(TOTAL).fetch_one(connection).await?))
    }

    /// Empties the ledger and every table of keys.
    pub(crate) async fn clear(&mut self) -> Result<(), LedgerError> {
        for statement in
            ["delete from entries", "delete from replay_keys", "delete from claimed_keys", "delete from seen_keys"]
        {
            on_either!(self, connection => sqlx::query(statement).execute(connection).await.map(drop)?);
        }
        Ok(())
    }
}
