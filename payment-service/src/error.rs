//! Why a service cannot start or go on. What a caller does wrong is a refusal, not an error.

use std::{io, net::SocketAddr};

use thiserror::Error;

use crate::ledger::{BadUrl, UrlOrigin};

/// Why a service cannot start or go on.
#[derive(Debug, Error)]
pub enum Error {
    /// The database URL is not one that can be used.
    #[error("{0}")]
    Database(BadUrl),
    /// The schema's name would need quoting.
    #[error("{0} is no name for a schema; use 1 to 63 lower-case letters, digits and underscores")]
    Schema(String),
    /// The database cannot be opened. The cause shows no part of its URL.
    #[error("cannot open the ledger's database, whose URL is in {1}: {0}")]
    Open(String, UrlOrigin),
    /// The tables cannot be made. The cause shows no part of the database's URL.
    #[error("cannot prepare the ledger's tables: {0}")]
    Migrate(String),
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
