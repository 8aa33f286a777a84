//! One transaction on either database, and what each statement does. The caller decides what belongs in one transaction.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use paylab_core::witness::ledger::Entry;
use serde_json::json;
use sqlx::{Postgres, Sqlite, Transaction, postgres::PgRow, sqlite::SqliteRow};

use super::failure::LedgerError;
use crate::payment::Payment;

/// A transaction on either database.
pub(crate) enum Tx {
    Sqlite {
        transaction: Transaction<'static, Sqlite>,
        /// Cleared by the commit; see `SqliteConnections`.
        is_uncommitted: Arc<AtomicBool>,
    },
    Postgres(Transaction<'static, Postgres>),
}

/// A response that `Replay` has stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredResponse {
    pub(crate) fingerprint: String,
    pub(crate) status: i64,
}

/// Runs the same statement on either database.
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

impl Tx {
    pub(crate) async fn commit(self) -> Result<(), LedgerError> {
        match self {
            Self::Sqlite { transaction, is_uncommitted } => {
                transaction.commit().await?;
                is_uncommitted.store(false, Ordering::Release);
                Ok(())
            }
            Self::Postgres(transaction) => Ok(transaction.commit().await?),
        }
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

    /// Stores the response to each payment under its key, unless one is stored that has not expired. Returns the keys that were new.
    pub(crate) async fn store_responses(
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

    /// Records that a key was seen.
    pub(crate) async fn record_seen(&mut self, key: &str) -> Result<(), LedgerError> {
        const RECORD: &str = "insert into seen_keys (idempotency_key) values ($1)";
        on_either!(self, connection => sqlx::query(RECORD).bind(key).execute(connection).await.map(drop)?);
        Ok(())
    }

    /// Claims a key; false when it is claimed already.
    pub(crate) async fn claim(&mut self, key: &str) -> Result<bool, LedgerError> {
        const CLAIM: &str =
            "insert into claimed_keys (idempotency_key) values ($1) on conflict (idempotency_key) do nothing";
        let claimed =
            on_either!(self, connection => sqlx::query(CLAIM).bind(key).execute(connection).await?.rows_affected());
        Ok(claimed == 1)
    }

    /// The next entries with an id above this one, in order.
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
