//! Failures of the database: each text has the cause once, and no part of the URL.

use std::fmt;

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
}

/// A failure of the database. It has no text of its own, because the library's may repeat parts of the URL; `Ledger::explain` has one.
pub(crate) struct LedgerError(sqlx::Error);

impl LedgerError {
    pub(super) fn explain(&self, url: &DatabaseUrl) -> String {
        explain(&self.0, url)
    }
}

impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> Self {
        Self(error)
    }
}

impl fmt::Debug for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerError").finish_non_exhaustive()
    }
}
