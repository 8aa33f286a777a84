//! Why a service cannot start or continue. A request that is refused is not an error.
//!
//! A cause is part of an error's text and not its source, so that a chain of sources does not repeat it.

use std::{io, net::SocketAddr};

use thiserror::Error;

use crate::ledger::OpenError;

/// Why a service cannot start or continue.
#[derive(Debug, Error)]
pub enum Error {
    /// Options contradict each other.
    #[error("{0}")]
    Options(String),
    /// The ledger cannot be opened.
    #[error(transparent)]
    Ledger(#[from] OpenError),
    /// The port is not free.
    #[error("cannot listen on {address}: {cause}; choose another address or port")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        cause: io::Error,
    },
    /// The listener failed.
    #[error("cannot serve: {0}")]
    Serve(io::Error),
}
