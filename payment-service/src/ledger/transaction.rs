//! One transaction on either database, and what each statement does. The caller decides what belongs in one transaction.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures::TryFutureExt as _;
use paylab_core::witness::ledger::Entry;
use serde_json::json;
use sqlx::{Executor as _, Postgres, Sqlite, postgres::PgRow, sqlite::SqliteRow};

use super::{
    ANSWER_WITHIN,
    failure::LedgerError,
    session::{Progress, Session, answered},
};
use crate::payment::Payment;

/// How long a server may take for a statement that goes through the whole ledger, which may have 100 million entries.
const WHOLE_LEDGER_WITHIN: Duration = Duration::from_secs(300);

/// A transaction on either database. When it is dropped, it is rolled back.
pub(crate) struct Tx {
    connection: Connection,
    progress: Arc<Progress>,
    /// Whether it has inserted entries.
    books: bool,
}

/// The connection of a transaction. Only a server can fall silent; a file answers or fails.
pub(super) enum Connection {
    Sqlite(Session<Sqlite>),
    Postgres {
        session: Session<Postgres>,
        /// How long a statement may take.
        within: Duration,
    },
}

/// A response that `Replay` has stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredResponse {
    pub(crate) fingerprint: String,
    pub(crate) status: i64,
}

/// Runs the same statement on either database. A server may take `$longest` for it, and at least as long as for every statement.
macro_rules! on_either {
    ($tx:expr, $connection:ident => $statement:expr) => {
        on_either!($tx, Duration::ZERO, $connection => $statement)
    };
    ($tx:expr, $longest:expr, $connection:ident => $statement:expr) => {
        match &mut $tx.connection {
            Connection::Sqlite(session) => {
                let $connection = &mut *session.connection;
                $statement.await.map_err(LedgerError::from)
            }
            Connection::Postgres { session, within } => {
                let within = $longest.max(*within);
                let $connection = &mut *session.connection;
                answered(within, $statement).await
            }
        }
    };
}

impl Tx {
    pub(super) const fn new(connection: Connection, progress: Arc<Progress>) -> Self {
        Self { connection, progress, books: false }
    }

    /// Commits. A failure is ambiguous: the transaction may be committed, because only the answer may have been lost.
    pub(crate) async fn commit(self) -> Result<(), LedgerError> {
        let Self { connection, progress, books } = self;
        progress.begin_commit();
        let committed = connection.commit().await;
        progress.end_commit(books && committed.is_ok());
        committed.map_err(LedgerError::of_commit)
    }

    /// Ends a transaction that has only read.
    pub(crate) async fn end(self) {
        // A connection that fails here is closed, and what was read is good.
        let _ = self.connection.commit().await;
    }

    /// Books payments without looking at their keys.
    pub(crate) async fn book(&mut self, payments: &[&Payment]) -> Result<(), LedgerError> {
        self.insert(payments, |_| None).await.map(drop)
    }

    /// Books the payments whose key is not in the ledger and returns the keys that were new. Payments without a key are always booked.
    pub(crate) async fn book_new(&mut self, payments: &[&Payment]) -> Result<HashSet<String>, LedgerError> {
        self.insert(payments, |payment| payment.key.as_deref()).await
    }

    async fn insert(
        &mut self,
        payments: &[&Payment],
        key: fn(&Payment) -> Option<&str>,
    ) -> Result<HashSet<String>, LedgerError> {
        // One row for each entry.
        let keys: Vec<Option<String>> = match &mut self.connection {
            Connection::Sqlite(session) => {
                let rows: Vec<_> =
                    payments.iter().map(|p| json!([p.reference, p.src, p.dest, p.amount.0, key(p)])).collect();
                sqlx::query_scalar(
                    "insert into entries (reference, src, dest, amount_minor, idempotency_key)
                     select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 from json_each($1) where true
                     on conflict (idempotency_key) do nothing
                     returning idempotency_key",
                )
                .bind(json!(rows).to_string())
                .fetch_all(&mut *session.connection)
                .await?
            }
            Connection::Postgres { session, within } => {
                let column = |of: fn(&Payment) -> &str| payments.iter().map(|p| of(p)).collect::<Vec<_>>();
                let statement = sqlx::query_scalar(
                    "insert into entries (reference, src, dest, amount_minor, idempotency_key)
                     select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[])
                     on conflict (idempotency_key) do nothing
                     returning idempotency_key",
                )
                .bind(payments.iter().map(|p| p.reference.as_deref()).collect::<Vec<_>>())
                .bind(column(|p| &p.src))
                .bind(column(|p| &p.dest))
                .bind(payments.iter().map(|p| p.amount.0).collect::<Vec<_>>())
                .bind(payments.iter().map(|p| key(p)).collect::<Vec<_>>());
                answered(*within, statement.fetch_all(&mut *session.connection)).await?
            }
        };
        self.books |= !keys.is_empty();
        Ok(keys.into_iter().flatten().collect())
    }

    /// Stores the response to each payment under its key, unless one is stored that has not expired. Returns the keys that were new.
    pub(crate) async fn store_responses(
        &mut self,
        payments: &[&Payment],
        status: u16,
        now_ms: i64,
        expires_at_ms: Option<i64>,
    ) -> Result<HashSet<String>, LedgerError> {
        let rows: Vec<_> = payments.iter().filter_map(|p| Some((p.key.clone()?, p.fingerprint()))).collect();
        let keys: Vec<String> = match &mut self.connection {
            Connection::Sqlite(session) => {
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
                .fetch_all(&mut *session.connection)
                .await?
            }
            Connection::Postgres { session, within } => {
                let (keys, fingerprints): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
                let statement = sqlx::query_scalar(
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
                .bind(now_ms);
                answered(*within, statement.fetch_all(&mut *session.connection)).await?
            }
        };
        Ok(keys.into_iter().collect())
    }

    /// The responses that are stored under these keys.
    pub(crate) async fn stored_responses(
        &mut self,
        keys: &[&str],
    ) -> Result<HashMap<String, StoredResponse>, LedgerError> {
        fn stored<R: sqlx::Row>(row: &R) -> Result<(String, StoredResponse), sqlx::Error>
        where
            for<'a> String: sqlx::Decode<'a, R::Database> + sqlx::Type<R::Database>,
            for<'a> i64: sqlx::Decode<'a, R::Database> + sqlx::Type<R::Database>,
            usize: sqlx::ColumnIndex<R>,
        {
            Ok((row.try_get(0)?, StoredResponse { fingerprint: row.try_get(1)?, status: row.try_get(2)? }))
        }
        match &mut self.connection {
            Connection::Sqlite(session) => {
                let rows: Vec<SqliteRow> = sqlx::query(
                    "select idempotency_key, fingerprint, status from replay_keys
                     where idempotency_key in (select value from json_each($1))",
                )
                .bind(json!(keys).to_string())
                .fetch_all(&mut *session.connection)
                .await?;
                Ok(rows.iter().map(stored).collect::<Result<_, _>>()?)
            }
            Connection::Postgres { session, within } => {
                let statement = sqlx::query(
                    "select idempotency_key, fingerprint, status::bigint from replay_keys where idempotency_key = any($1)",
                )
                .bind(keys);
                let rows: Vec<PgRow> = answered(*within, statement.fetch_all(&mut *session.connection)).await?;
                Ok(rows.iter().map(stored).collect::<Result<_, _>>()?)
            }
        }
    }

    /// Whether a key was seen.
    pub(crate) async fn has_seen(&mut self, key: &str) -> Result<bool, LedgerError> {
        const SEEN: &str = "select count(*) from seen_keys where idempotency_key = $1";
        let count: i64 = on_either!(self, connection => sqlx::query_scalar(SEEN).bind(key).fetch_one(connection))?;
        Ok(count > 0)
    }

    /// Records that a key was seen.
    pub(crate) async fn record_seen(&mut self, key: &str) -> Result<(), LedgerError> {
        const RECORD: &str = "insert into seen_keys (idempotency_key) values ($1)";
        on_either!(self, connection => sqlx::query(RECORD).bind(key).execute(connection).map_ok(drop))?;
        Ok(())
    }

    /// Claims a key; false when it is claimed already.
    pub(crate) async fn claim(&mut self, key: &str) -> Result<bool, LedgerError> {
        const CLAIM: &str =
            "insert into claimed_keys (idempotency_key) values ($1) on conflict (idempotency_key) do nothing";
        let claimed = on_either!(self, connection =>
            sqlx::query(CLAIM).bind(key).execute(connection).map_ok(|done| done.rows_affected()))?;
        Ok(claimed == 1)
    }

    /// The next entries with an id above this one, in order.
    pub(crate) async fn entries_after(&mut self, id: i64, limit: i64) -> Result<Vec<Entry>, LedgerError> {
        const PAGE: &str =
            "select id, reference, src, dest, amount_minor from entries where id > $1 order by id limit $2";
        type Columns = (i64, Option<String>, String, String, i64);
        let rows: Vec<Columns> =
            on_either!(self, connection => sqlx::query_as(PAGE).bind(id).bind(limit).fetch_all(connection))?;
        let entry = |(id, reference, src, dest, amount_minor)| Entry { id, reference, src, dest, amount_minor };
        Ok(rows.into_iter().map(entry).collect())
    }

    /// The sum of all entries, in minor units.
    pub(crate) async fn total_minor(&mut self) -> Result<i64, LedgerError> {
        const TOTAL: &str = "select cast(coalesce(sum(amount_minor), 0) as bigint) from entries";
        on_either!(self, WHOLE_LEDGER_WITHIN, connection => sqlx::query_scalar(TOTAL).fetch_one(connection))
    }

    /// Empties the ledger and every table of keys.
    pub(crate) async fn clear(&mut self) -> Result<(), LedgerError> {
        for statement in
            ["delete from entries", "delete from replay_keys", "delete from claimed_keys", "delete from seen_keys"]
        {
            on_either!(self, WHOLE_LEDGER_WITHIN, connection => sqlx::query(statement).execute(connection).map_ok(drop))?;
        }
        Ok(())
    }
}

impl Connection {
    async fn commit(self) -> Result<(), LedgerError> {
        const COMMIT: &str = "commit";
        match self {
            Self::Sqlite(mut session) => {
                session.connection.execute(COMMIT).await?;
                session.release();
            }
            Self::Postgres { mut session, within: _ } => {
                answered(ANSWER_WITHIN, session.connection.execute(COMMIT)).await?;
                session.release();
            }
        }
        Ok(())
    }
}
