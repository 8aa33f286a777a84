//! The settings that all measurements share.

use std::path::PathBuf;

/// What every measurement needs.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The binary under test.
    pub(crate) paylab: PathBuf,
    /// How often each variant is measured.
    pub(crate) rounds: usize,
    /// The file for the samples, if one was named.
    pub(crate) samples: Option<PathBuf>,
}
