//! Writes evidence. `outcome.json` comes last, so that a directory without it is no evidence.

use std::{fs, io::BufWriter, path::Path};

use anyhow::{Context as _, anyhow};
use paylab_present::sentence;
use paylab_resource::spec::ChaosExperiment;

use super::{ATTEMPTS, EXPERIMENT, FILES, FORMAT, KIND, Kept, OUTCOME, OutcomeFile, attempts, sha256};
use crate::output::in_words;

/// The experiment as it was run: as a file that gives the same plan again.
///
/// # Errors
/// None that is known.
pub(crate) fn yaml_of(resource: &ChaosExperiment, seed: u64) -> anyhow::Result<String> {
    let mut resource = resource.clone();
    resource.spec.seed = i64::try_from(seed).ok();
    resource.status = None;
    let mut fields = serde_json::to_value(&resource)?;
    prune(&mut fields);
    Ok(serde_saphyr::to_string(&fields)?)
}

/// Leaves out what is not set.
fn prune(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(prune);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(prune),
        _ => {}
    }
}

/// Writes the evidence of a run into a directory that was prepared for it: all of it or nothing.
///
/// # Errors
/// A file cannot be written.
pub(crate) fn write(directory: &Path, kept: &Kept) -> anyhow::Result<()> {
    write_each(directory, kept).inspect_err(|_| remove_each(directory))
}

/// Removes what was written before the disk was full: a part of it is no evidence.
fn remove_each(directory: &Path) {
    for name in FILES {
        let _ = fs::remove_file(directory.join(name));
    }
}

fn write_each(directory: &Path, kept: &Kept) -> anyhow::Result<()> {
    let Kept { outcome, chronicle, yaml, comparison: _ } = kept;
    let run_id = outcome.report.run_id.clone();
    let file = |name: &str| directory.join(name);
    let failed = |name: &str, error: &std::io::Error| {
        anyhow!("cannot write --evidence {}: {}", directory.join(name).display(), in_words(error))
    };
    fs::write(file(EXPERIMENT), yaml).map_err(|error| failed(EXPERIMENT, &error))?;
    let out = fs::File::create(file(ATTEMPTS)).map_err(|error| failed(ATTEMPTS, &error))?;
    attempts::write(&chronicle.stories, &run_id, BufWriter::new(out)).map_err(|error| failed(ATTEMPTS, &error))?;
    let json = serde_json::to_string_pretty(&OutcomeFile {
        kind: KIND.to_owned(),
        format: FORMAT,
        run_id,
        made_by: env!("CARGO_PKG_VERSION").to_owned(),
        experiment_sha256: sha256(yaml.as_bytes()),
        verdict: format!("{:?}", outcome.verdict),
        reason: outcome.reason.to_string(),
        message: sentence::verdict(outcome),
        setting: outcome.setting.clone(),
        report: outcome.report.clone(),
        chronicle: chronicle.counts.clone(),
    })
    .context("the outcome as JSON")?;
    fs::write(file(OUTCOME), json + "\n").map_err(|error| failed(OUTCOME, &error))
}

#[cfg(test)]
mod tests {
    use paylab_core::{
        chronicle::Chronicle,
        judge::report::Report,
        outcome::{Outcome, Setting},
    };
    use paylab_resource::file;

    use super::*;

    #[test]
    fn evidence_that_cannot_be_written_whole_leaves_no_part_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let yaml =
            "apiVersion: paylab.dev/v1alpha1\nkind: ChaosExperiment\nmetadata: {name: a}\nspec: {claim: ExactlyOnce}\n";
        let plan = file::parse(yaml, 1).unwrap().plan;
        let outcome = Outcome::of_kept(&plan, Report::default(), Setting::default());
        let kept = Kept { outcome, chronicle: Chronicle::default(), yaml: yaml.to_owned(), comparison: None };
        // Where the last file is to be, there is a directory.
        fs::create_dir(folder.path().join(OUTCOME)).unwrap();
        let error = write(folder.path(), &kept).unwrap_err().to_string();
        assert!(error.contains("outcome.json"), "{error}");
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [OUTCOME]);
    }
}
