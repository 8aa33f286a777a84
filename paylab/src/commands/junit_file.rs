//! The file with the outcomes of a run as JUnit XML.

use std::{fs, io, path::Path};

use paylab_core::outcome::Outcome;
use paylab_present::junit;

use crate::{exit::Misuse, output::in_words};

/// Removes the file of an earlier run, so that a pipeline never takes it for the outcome of a run that failed, and makes sure that the
/// new one can be written.
pub(crate) fn prepare(file: &Path) -> anyhow::Result<()> {
    let existing = fs::metadata(file);
    if existing.as_ref().is_ok_and(|existing| !existing.is_file() && !existing.is_dir()) {
        // A pipe or a device.
        return Ok(());
    }
    let cleared = fs::File::create(file).and_then(|_| fs::canonicalize(file)).and_then(fs::remove_file);
    cleared.map_err(|error| Misuse(format!("--junit: cannot write {}: {}", file.display(), in_words(&error))).into())
}

/// Writes the outcomes.
pub(crate) fn write(file: &Path, outcomes: &[Outcome]) -> anyhow::Result<()> {
    let xml = junit::outcomes(outcomes)?;
    fs::write(file, xml)
        .map_err(|error: io::Error| anyhow::anyhow!("cannot write --junit {}: {}", file.display(), in_words(&error)))
}
