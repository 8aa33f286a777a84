//! Failures of the database: each text has the cause once, and no part of the URL.

use std::{fmt, time::Duration};

use sqlx::migrate::MigrateError;
use thiserror::Error;

use super::{
    explain::{explain, explain_migration},
    url::{BadUrl, DatabaseUrl, UrlOrigin},
};

/// Why a ledger cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The database URL is not one that can be used.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// The schema's name would need quotes.
    #[error(
        "{0} cannot be the name of a schema; use 1 to 63 lower-case letters, digits and underscores, not a digit first"
    )]
    Schema(String),
    /// The database cannot be reached, or it refuses. The cause shows no part of its URL.
    #[error("cannot open the ledger's database, whose URL is in {origin}: {cause}")]
    Connect {
        /// Where the URL was read.
        origin: UrlOrigin,
        /// What has failed.
        cause: String,
    },
    /// The database server accepts connections, but too few.
    #[error(
        "the database server whose URL is in {origin} has {found} connections left for its user, and the service needs at least \
         {needed} (one books while another reads the ledger; it uses up to {most}): raise the CONNECTION LIMIT of the user or of the \
         database, or max_connections of the server, or end other clients"
    )]
    TooFewConnections {
        /// Where the URL was read.
        origin: UrlOrigin,
        /// How many could be opened at the same time.
        found: u32,
        /// How many the service cannot do without.
        needed: u32,
        /// How many it uses when it is busy.
        most: u32,
    },
    /// The tables cannot be made. The cause shows no part of the database's URL.
    #[error("cannot make the ledger's tables in the database whose URL is in {origin}: {cause}")]
    Migrate {
        /// Where the URL was read.
        origin: UrlOrigin,
        /// What has failed.
        cause: String,
    },
}

impl OpenError {
    pub(super) fn connect(error: &sqlx::Error, url: &DatabaseUrl) -> Self {
        Self::Connect { origin: url.origin(), cause: explain(error, url) }
    }

    pub(super) fn migrate(error: &MigrateError, url: &DatabaseUrl) -> Self {
        Self::Migrate { origin: url.origin(), cause: explain_migration(error, url) }
    }

    /// The database has not answered within this time.
    pub(super) fn silent(within: Duration, url: &DatabaseUrl) -> Self {
        let cause = format!("{}; check that the server runs and is not suspended", silence(within));
        Self::Connect { origin: url.origin(), cause }
    }
}

/// A failure of the database. It has no text of its own, because the library's may repeat parts of the URL; `Ledger::explain` has one.
pub(crate) struct LedgerError {
    cause: Cause,
    failure: Failure,
}

/// What a failure says about the transaction and about the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The database has refused a statement before the commit. Nothing was committed.
    Refused,
    /// There is no connection, or it has broken before the commit. Nothing was committed.
    Disconnected,
    /// The database has not answered in time, before the commit. Nothing was committed.
    Silent,
    /// The commit has failed or was not answered. The transaction may be committed, so it must not be tried again.
    Ambiguous,
}

enum Cause {
    Library(sqlx::Error),
    Silence(Duration),
}

impl LedgerError {
    /// The database has not answered within this time.
    pub(super) const fn silent(within: Duration) -> Self {
        Self { cause: Cause::Silence(within), failure: Failure::Silent }
    }

    /// The same failure, of a commit.
    pub(super) fn of_commit(self) -> Self {
        Self { cause: self.cause, failure: Failure::Ambiguous }
    }

    pub(crate) const fn failure(&self) -> Failure {
        self.failure
    }

    /// Whether the database has not answered in time, at whatever step.
    pub(crate) const fn is_silence(&self) -> bool {
        matches!(self.cause, Cause::Silence(_)) || matches!(self.failure, Failure::Silent)
    }

    pub(super) fn explain(&self, url: &DatabaseUrl) -> String {
        let cause = match &self.cause {
            Cause::Library(error) => explain(error, url),
            Cause::Silence(within) => silence(*within),
        };
        match self.failure {
            Failure::Refused | Failure::Disconnected | Failure::Silent => cause,
            Failure::Ambiguous => format!("the commit has failed, and what it books may be booked or not: {cause}"),
        }
    }
}

impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> Self {
        let failure = match &error {
            sqlx::Error::Database(refusal) if is_locked(refusal.code().as_deref()) => Failure::Silent,
            sqlx::Error::Database(_) => Failure::Refused,
            sqlx::Error::PoolTimedOut => Failure::Silent,
            // What remains are connections that have failed or speak nonsense.
            _ => Failure::Disconnected,
        };
        Self { cause: Cause::Library(error), failure }
    }
}

impl fmt::Debug for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerError").field("failure", &self.failure).finish_non_exhaustive()
    }
}

fn silence(within: Duration) -> String {
    format!("the database has not answered within {within:?}")
}

/// Whether SQLite has waited in vain for another process that has locked the file. The lowest byte of its code says so (SQLITE_BUSY).
fn is_locked(code: Option<&str>) -> bool {
    const BUSY: u32 = 5;
    // PostgreSQL's codes have five characters.
    code.filter(|code| code.len() < 5).and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xff == BUSY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sqlites_codes_for_a_lock_are_locks() {
        for code in ["5", "261", "517", "773"] {
            assert!(is_locked(Some(code)), "{code}");
        }
        for code in [None, Some(""), Some("6"), Some("13"), Some("00005"), Some("23505"), Some("57P01")] {
            assert!(!is_locked(code), "{code:?}");
        }
    }
}
