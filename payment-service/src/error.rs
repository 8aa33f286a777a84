//! Why a service cannot start or go on. What a caller does wrong is a refusal, not an error.

use std::{io, net::SocketAddr};

use thiserror::Error;

/// Why a service cannot start or go on.
#[derive(Debug, Error)]
pub enum Error {
    /// Neither of the two databases.
    #[error("{0} is no database for the ledger; use sqlite:FILE or postgres://USER@HOST/DATABASE")]
    Database(String),
    /// The schema's name would need quoting.
    #[error("{0} is no name for a schema; use 1 to 63 lower-case letters, digits and underscores")]
    Schema(String),
    /// The database cannot be opened.
    #[error("cannot open the ledger's database: {0}")]
    Open(#[source] sqlx::Error),
    /// The tables cannot be made.
    #[error("cannot prepare the ledger's tables: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The port cannot be had.
    #[error("cannot listen on {address}: {source}; choose another with --listen")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The listener broke.
    #[error("cannot serve: {0}")]
    Serve(#[from] io::Error),
}
