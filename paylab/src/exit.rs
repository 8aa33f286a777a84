//! Exit codes are an interface: 0 as expected, 1 not as expected, 2 inconclusive, 64 usage or invalid file, 70 internal.

use std::{fmt, process::ExitCode};

use payment_service::OpenError;

use crate::source::InvalidExperiment;

/// There is no verdict.
const INCONCLUSIVE: u8 = 2;
/// The command line or the experiment's file is wrong.
pub const USAGE: u8 = 64;
/// The lab could not do its work.
pub const INTERNAL: u8 = 70;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// The command has done its work, and the verdict, if there is one, is the expected one.
    AsExpected,
    /// The verdict is not the expected one.
    NotAsExpected,
    /// There is no verdict.
    Inconclusive,
    /// The verdict could not be written everywhere where it should be. What has failed has been told.
    Unwritten,
    /// A command that this one has started has ended with this code.
    Of(u8),
}

/// A command line that cannot be carried out, and the reason.
#[derive(Debug)]
pub(crate) struct Misuse(pub(crate) String);

/// A signal has ended a command before it had a result.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("interrupted before the service had started; nothing was run")]
pub(crate) struct Interrupted;

impl Exit {
    /// The exit of an experiment whose verdict is the expected one or not; `None`: the verdict is inconclusive.
    #[must_use]
    pub const fn of(as_expected: Option<bool>) -> Self {
        match as_expected {
            Some(true) => Self::AsExpected,
            Some(false) => Self::NotAsExpected,
            None => Self::Inconclusive,
        }
    }
}

impl Exit {
    /// The exit of several experiments: the worst of theirs.
    pub fn worst(exits: impl IntoIterator<Item = Self>) -> Self {
        exits.into_iter().max().unwrap_or(Self::AsExpected)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::AsExpected => 0,
            Exit::NotAsExpected => 1,
            Exit::Inconclusive => INCONCLUSIVE,
            Exit::Unwritten => INTERNAL,
            Exit::Of(code) => code,
        })
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misuse {}

/// The exit code of a command that has failed: whether its caller can mend it, or the lab could not do its work.
pub(crate) fn code_of(error: &anyhow::Error) -> u8 {
    if error.is::<Interrupted>() {
        return INCONCLUSIVE;
    }
    let is_usage = error.is::<InvalidExperiment>()
        || error.is::<Misuse>()
        || error.downcast_ref().is_some_and(is_of_service_options)
        || error.downcast_ref().is_some_and(is_of_url)
        || error.downcast_ref().is_some_and(is_of_load_options)
        || error.downcast_ref().is_some_and(is_of_proxy_options);
    if is_usage { USAGE } else { INTERNAL }
}

fn is_of_service_options(error: &payment_service::Error) -> bool {
    match error {
        payment_service::Error::Options(_) => true,
        payment_service::Error::Ledger(error) => is_of_url(error),
        payment_service::Error::Listen { address: _, cause: _ } | payment_service::Error::Serve(_) => false,
    }
}

fn is_of_url(error: &OpenError) -> bool {
    match error {
        OpenError::Url(_) | OpenError::Schema(_) => true,
        OpenError::Connect { origin: _, cause: _ }
        | OpenError::Migrate { origin: _, cause: _ }
        | OpenError::TooFewConnections { origin: _, found: _, needed: _, most: _ } => false,
    }
}

fn is_of_load_options(error: &load_job::Error) -> bool {
    match error {
        load_job::Error::Worker { worker: _, workers: _ }
        | load_job::Error::RunId { workers: _ }
        | load_job::Error::Tls(_)
        | load_job::Error::LedgerUsed { run: _, entries: _ } => true,
        load_job::Error::Address { address: _, cause: _ }
        | load_job::Error::Service { address: _, cause: _ }
        | load_job::Error::Rules { address: _, cause: _ }
        | load_job::Error::Ledger { address: _, cause: _ }
        | load_job::Error::Start(_)
        | load_job::Error::Crashed
        | load_job::Error::Report { path: _, cause: _ } => false,
    }
}

fn is_of_proxy_options(error: &reset_proxy::Error) -> bool {
    match error {
        reset_proxy::Error::Config { path: _, reason: _ } | reset_proxy::Error::Tls(_) => true,
        reset_proxy::Error::Listen { address: _, purpose: _, source: _ }
        | reset_proxy::Error::Address(_)
        | reset_proxy::Error::Threads { count: _, source: _ }
        | reset_proxy::Error::Proxies(_)
        | reset_proxy::Error::Control(_) => false,
    }
}
