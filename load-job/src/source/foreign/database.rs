//! A ledger in a database: the rows of the contract's query, in a transaction that reads only.

use std::{str::FromStr as _, time::Duration};

use futures::TryStreamExt as _;
use paylab_contract::{
    ledger::{ForeignEntry, Sql},
    money::Unit,
};
use paylab_core::payment::{AttemptId, PaymentId};
use paylab_part::postgres_url::with_known_parameters;
use sqlx::{
    AnyConnection, AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _,
    any::{AnyConnectOptions, AnyRow, install_default_drivers},
};
use tokio::time::timeout;
use tracing::warn;

use super::ForeignLedger;
use crate::{control::ControlError, shape::filling};

/// How long a database may take to accept a connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// The databases that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Postgres,
    MySql,
    Sqlite,
}

impl Kind {
    /// The kind of database behind a URL; `None`: it is none.
    fn of(url: &str) -> Option<Self> {
        match url.split_once(':')?.0 {
            "postgres" | "postgresql" => Some(Self::Postgres),
            "mysql" | "mariadb" => Some(Self::MySql),
            "sqlite" => Some(Self::Sqlite),
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::MySql => "MySQL",
            Self::Sqlite => "SQLite",
        }
    }

    /// Begins a transaction that sees one state of the ledger and cannot change it.
    const fn begin(self) -> &'static str {
        match self {
            Self::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
            Self::MySql => "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
            // The file is opened for reading only.
            Self::Sqlite => "BEGIN",
        }
    }

    /// The type of a text.
    const fn text(self) -> &'static str {
        match self {
            Self::Postgres | Self::Sqlite => "TEXT",
            Self::MySql => "CHAR",
        }
    }

    /// The URL of a file that is only read.
    fn reading(self, url: String) -> String {
        match self {
            Self::Sqlite if url.contains("mode=") => url,
            Self::Sqlite if url.contains('?') => format!("{url}&mode=ro"),
            Self::Sqlite => format!("{url}?mode=ro"),
            // sqlx knows MariaDB under the name of MySQL, which speaks the same protocol.
            Self::MySql => url.replacen("mariadb:", "mysql:", 1),
            Self::Postgres => {
                let (kept, ignored) = with_known_parameters(&url);
                if ignored > 0 {
                    warn!(ignored, "parameters of the URL of the ledger's database are not known and are ignored");
                }
                kept
            }
        }
    }
}

/// Hands on the rows that are of the run.
pub(super) async fn read(
    ledger: &ForeignLedger<'_>,
    sql: &Sql,
    mut take: impl FnMut(&str, ForeignEntry),
) -> Result<(), ControlError> {
    install_default_drivers();
    let ForeignLedger { contract, plan, run, tls: _ } = *ledger;
    let filling = filling(plan, run, "", AttemptId { payment: PaymentId(0), attempt: 1 });
    let url = sql.url(&filling, contract.secrets());
    let kind = Kind::of(&url).ok_or_else(|| ControlError::NotAsAgreed(NO_URL.to_owned()))?;
    let options = AnyConnectOptions::from_str(&kind.reading(url));
    // The error may repeat a part of the URL.
    let options = options.map_err(|_| ControlError::NotAsAgreed(NO_URL.to_owned()))?.disable_statement_logging();
    let query = sql.query(&filling, contract.secrets());
    let problem = |problem: String| {
        // The database may name a user or a host, where the whole URL is a secret.
        let is_shown = !contract.secrets().share_a_word_with(&problem, &format!("{query} {PUBLIC_WORDS}"));
        let problem = if is_shown { contract.secrets().redact(&problem) } else { HIDDEN.to_owned() };
        ControlError::NotAsAgreed(format!("the {} database: {problem}", kind.name()))
    };
    let connecting = timeout(CONNECT_MAX, AnyConnection::connect_with(&options)).await;
    let silent = || problem(format!("does not answer within {} s", CONNECT_MAX.as_secs()));
    let mut connection = connecting.map_err(|_| silent())?.map_err(|error| problem(in_words(&error)))?;
    let statement = statement(kind, sql, &query);
    let reading = async {
        sqlx::raw_sql(kind.begin()).execute(&mut connection).await.map_err(|error| in_words(&error))?;
        let mut rows = sqlx::query(AssertSqlSafe(statement)).fetch(&mut connection);
        while let Some(row) = rows.try_next().await.map_err(|error| in_words(&error))? {
            let Some(reference) = text(&row, 0)? else { continue };
            if contract.is_of_run(run.as_str(), &reference) {
                take(&reference, entry(&row, sql).map_err(|problem| format!("the row of {reference} {problem}"))?);
            }
        }
        Ok::<_, String>(())
    };
    reading.await.map_err(problem)
}

/// What is said of a URL, none of which is repeated.
const NO_URL: &str = "target.ledger.sql.url (or --ledger-url) is not the URL of a database; use postgres://USER:PASSWORD@HOST/DATABASE, \
    mysql://USER:PASSWORD@HOST/DATABASE or sqlite:FILE";

/// What is said of a failure whose text repeats a part of the URL.
const HIDDEN: &str = "the reason is not shown, because it repeats a part of a secret; check the user, the password, the host and the \
    database of the URL, or look at the log of the database";

/// Words of messages that are no secrets, though a URL may have them.
const PUBLIC_WORDS: &str = "1 2 database host user password port ledger localhost postgres sqlite mysql";

/// The contract's query with its columns as texts, which is one type for all that the three databases have.
fn statement(kind: Kind, sql: &Sql, query: &str) -> String {
    let columns = [Some(&sql.reference), Some(&sql.amount.0), sql.currency.as_ref()];
    let columns: Vec<_> =
        columns.into_iter().flatten().map(|column| format!("CAST(ledger.{column} AS {})", kind.text())).collect();
    // The query may end with a comment.
    format!("SELECT {} FROM (\n{query}\n) AS ledger", columns.join(", "))
}

fn entry(row: &AnyRow, sql: &Sql) -> Result<ForeignEntry, String> {
    let (column, unit) = &sql.amount;
    let amount = text(row, 1)?.ok_or_else(|| format!("has no {column}"))?;
    let amount = unit.read(&amount).ok_or_else(|| no_amount(column, *unit, &amount))?;
    let currency = match &sql.currency {
        None => None,
        Some(column) => Some(text(row, 2)?.ok_or_else(|| format!("has no {column}"))?),
    };
    Ok(ForeignEntry { amount, currency })
}

fn no_amount(column: &str, unit: Unit, found: &str) -> String {
    format!("has \"{found:.40}\" in {column}, which is no amount in {} units", unit.name())
}

fn text(row: &AnyRow, column: usize) -> Result<Option<String>, String> {
    row.try_get(column).map_err(|error| in_words(&error))
}

/// An error without the name of the library, and without the statement.
fn in_words(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        sqlx::Error::Io(error) => format!("cannot be reached ({error})"),
        error => error.to_string(),
    }
}
