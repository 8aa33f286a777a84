//! Writes evidence. `outcome.json` comes last, so that a directory without it is no evidence.

use std::{fs, io::BufWriter, path::Path};

use anyhow::{Context as _, anyhow};
use paylab_present::sentence;
use paylab_resource::spec::ChaosExperiment;

use super::{ATTEMPTS, EXPERIMENT, FORMAT, KIND, Kept, OUTCOME, OutcomeFile, attempts, sha256};
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

/// Writes the evidence of a run into a directory.
///
/// # Errors
/// A file cannot be written.
pub(crate) fn write(directory: &Path, kept: &Kept) -> anyhow::Result<()> {
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
