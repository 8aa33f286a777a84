//! Writes the experiments of a gauntlet as files, one for each cell, for `paylab run` and for a cluster.

use std::{fs, path::Path};

use anyhow::anyhow;
use paylab_resource::spec::ChaosExperiment;

use crate::{exit::Misuse, output::in_words, tidy::tidy_yaml};

/// Writes each experiment into a file of its name. The directory is made if it does not exist; files of other names stay.
///
/// # Errors
/// The directory cannot be made, or a file cannot be written.
pub(crate) fn emit<'a>(
    directory: &Path,
    experiments: impl Iterator<Item = (&'a ChaosExperiment, &'a str)>,
) -> anyhow::Result<usize> {
    fs::create_dir_all(directory).map_err(|error| {
        Misuse(format!("--emit: cannot make the directory {}: {}", directory.display(), in_words(&error)))
    })?;
    let mut written = 0;
    for (experiment, imitates) in experiments {
        let name = experiment.metadata.name.as_deref().unwrap_or_default();
        let file = directory.join(format!("{name}.yaml"));
        let text = format!("# {imitates}\n{}", tidy_yaml(experiment)?);
        fs::write(&file, text)
            .map_err(|error| anyhow!("--emit: cannot write {}: {}", file.display(), in_words(&error)))?;
        written += 1;
    }
    Ok(written)
}
