//! Exit codes are an interface: 0 as expected, 1 not as expected, 2 inconclusive, 64 usage or invalid file, 70 internal.

use std::process::ExitCode;

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
}

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
            Exit::Inconclusive => 2,
        })
    }
}
