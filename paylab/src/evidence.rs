//! The evidence of a measured run, kept in a directory: what was to be done, what was judged, and what happened. `docs/report.md`
//! describes the three files.

mod attempts;
mod cluster;
mod folder;
mod read;
mod share;
mod write;

use paylab_core::{
    chronicle::{Chronicle, Counts},
    judge::report::Report,
    outcome::{Outcome, Setting, comparison::Comparison},
    witness::seal::Sealer,
};
use serde::{Deserialize, Serialize};

pub(crate) use self::{
    cluster::{kept_from_cluster, read_from_cluster},
    folder::{Places, files_of},
    read::{read, read_all},
    share::encode as encode_share,
    write::{write, yaml_of},
};

/// The experiment as it was run, with its seed.
const EXPERIMENT: &str = "experiment.yaml";
/// Everything that a presenter shows, but for single attempts.
const OUTCOME: &str = "outcome.json";
/// The attempts of some of the payments, one on each line.
const ATTEMPTS: &str = "attempts.ndjson.zst";
/// All files of a directory of evidence.
const FILES: [&str; 3] = [EXPERIMENT, OUTCOME, ATTEMPTS];
/// The version of the format that is written. Every version up to this one is read.
const FORMAT: u32 = 1;
/// What the field `kind` of `outcome.json` says.
const KIND: &str = "paylab-evidence";

/// A run that was measured, with everything that can be shown of it.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) outcome: Outcome,
    pub(crate) chronicle: Chronicle,
    /// The experiment as it was run.
    pub(crate) yaml: String,
    /// What has changed since an earlier run, if it is compared with one. It is shown and not kept.
    pub(crate) comparison: Option<Comparison>,
}

/// `outcome.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OutcomeFile {
    kind: String,
    format: u32,
    run_id: String,
    /// The version of Paylab that has written it.
    made_by: String,
    /// SHA-256 of `experiment.yaml`.
    experiment_sha256: String,
    verdict: String,
    reason: String,
    /// The verdict as a sentence.
    message: String,
    setting: Setting,
    report: Report,
    chronicle: Counts,
}

/// What is read of `outcome.json` first, whatever its format.
#[derive(Debug, Deserialize)]
struct OutcomeHead {
    kind: String,
    format: u32,
}

fn sha256(bytes: &[u8]) -> String {
    let mut sealer = Sealer::default();
    sealer.add(bytes);
    sealer.seal().sha256
}
