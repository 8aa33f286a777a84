//! Writes the experiments of a gauntlet as files, one for each cell, for `paylab run` and for a cluster.

use std::{fs, path::Path};

use paylab_resource::{nemesis::ALL, spec::ChaosExperiment};

use crate::{commands::output_files, exit::Misuse, output::in_words, tidy::tidy_yaml};

/// Writes each experiment into a file of its name. The directory is made if it does not exist; files of other names stay, and a file that no
/// gauntlet has written is never overwritten.
///
/// # Errors
/// The directory cannot be made, a file cannot be written, or one is somebody else's; then none is written.
pub(crate) fn emit<'a>(
    directory: &Path,
    experiments: impl Iterator<Item = (&'a ChaosExperiment, &'a str)>,
) -> anyhow::Result<usize> {
    fs::create_dir_all(directory).map_err(|error| {
        Misuse(format!("--emit: cannot make the directory {}: {}", directory.display(), in_words(&error)))
    })?;
    let named = experiments.map(|(experiment, imitates)| {
        let name = experiment.metadata.name.as_deref().unwrap_or_default();
        Ok((directory.join(format!("{name}.yaml")), format!("# {imitates}\n{}", tidy_yaml(experiment)?)))
    });
    let files: Vec<_> = named.collect::<anyhow::Result<_>>()?;
    if let Some((file, _)) = files.iter().find(|(file, _)| is_of_somebody_else(file)) {
        let problem = format!("{} exists, and no gauntlet has written it; name another directory", file.display());
        return Err(Misuse(format!("--emit: {problem}")).into());
    }
    files.iter().try_for_each(|(file, text)| output_files::write("--emit", file, text))?;
    Ok(files.len())
}

/// Whether a file exists that does not begin as those of a gauntlet do, with what its nemesis imitates.
fn is_of_somebody_else(file: &Path) -> bool {
    let begins = |text: &str| ALL.iter().any(|nemesis| text.starts_with(&format!("# {}\n", nemesis.imitates)));
    file.exists() && !fs::read_to_string(file).is_ok_and(|text| begins(&text))
}
