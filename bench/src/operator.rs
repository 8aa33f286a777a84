//! The operator on a real Kubernetes node, as a user has it: its share of an experiment's time, what it asks of the API, its
//! memory, and the image's size.

mod account;
mod cluster;
mod crowd;
mod table;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};

use self::{
    account::Account,
    cluster::{Cluster, Memory},
};
use crate::samples::Samples;

/// Fewer runs of the experiment say little on a machine with neighbours.
const RUNS_MIN: usize = 7;
/// The image, its archive where nobody names another, and how it is made.
const IMAGE: (&str, &str) = ("registry.local/paylab", "ci");
const ARCHIVE: &str = ".cache/paylab/paylab.tar";

/// Variants of the samples.
const EXPERIMENT: &str = "experiment";
const IDLE: &str = "idle";
const AFTER_RUNS: &str = "after the runs";
const CROWD: &str = "crowd";
const ARCHIVED: &str = "image";

/// Brings a node up, measures, takes it down and prints the tables.
pub(crate) fn measure(image: Option<PathBuf>, rounds: usize, samples: Option<&Path>) -> anyhow::Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "the operator is measured on a node of its own; run this as root");
    let image = archive(image)?;
    let runs = rounds.max(RUNS_MIN);
    let mut samples = Samples::new(samples);
    #[expect(clippy::cast_precision_loss, reason = "an image has no petabytes")]
    let size_mb = fs::metadata(&image)?.len() as f64 / 1e6;
    samples.note(ARCHIVED, "size_mb", size_mb)?;
    let cluster = Cluster::up(&image)?;
    note_memory(&mut samples, IDLE, cluster.memory()?)?;
    // The first one finds nothing warm.
    cluster.run("warm")?;
    for run in 0..runs {
        note_account(&mut samples, &cluster.run(&format!("run-{run}"))?)?;
        eprintln!("run {} of {runs} is done", run + 1);
    }
    note_silence(&mut samples, &cluster, AFTER_RUNS)?;
    note_memory(&mut samples, AFTER_RUNS, cluster.memory()?)?;
    let looks = crowd::gather(&cluster, "warm")?;
    samples.note(CROWD, "first_writes", looks.writes)?;
    samples.note(CROWD, "first_reads", looks.reads)?;
    note_silence(&mut samples, &cluster, CROWD)?;
    note_memory(&mut samples, CROWD, cluster.memory()?)?;
    cluster.down()?;
    table::print(&samples, runs);
    Ok(())
}

/// Where the image is.
fn archive(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(ARCHIVE));
    let archive = named.or_else(home).context("no image is named, and there is no home to look in; use --image")?;
    let (name, tag) = IMAGE;
    ensure!(archive.exists(), "there is no image; make it: image/build {name}:{tag} {}", archive.display());
    Ok(archive)
}

fn note_account(samples: &mut Samples, account: &Account) -> anyhow::Result<()> {
    let Account { build_ms, lab_ms, launch_ms, load_ms, judge_ms, asked } = *account;
    samples.note(EXPERIMENT, "build_ms", build_ms)?;
    samples.note(EXPERIMENT, "lab_ms", lab_ms)?;
    samples.note(EXPERIMENT, "launch_ms", launch_ms)?;
    samples.note(EXPERIMENT, "load_ms", load_ms)?;
    samples.note(EXPERIMENT, "judge_ms", judge_ms)?;
    samples.note(EXPERIMENT, "wall_ms", account.wall_ms())?;
    samples.note(EXPERIMENT, "operator_ms", account.operator_ms())?;
    samples.note(EXPERIMENT, "writes", asked.writes)?;
    samples.note(EXPERIMENT, "reads", asked.reads)
}

fn note_memory(samples: &mut Samples, variant: &str, memory: Memory) -> anyhow::Result<()> {
    samples.note(variant, "rss_mib", memory.rss_mib)?;
    samples.note(variant, "peak_mib", memory.peak_mib)
}

/// What the operator asks for while nothing happens.
fn note_silence(samples: &mut Samples, cluster: &Cluster, variant: &str) -> anyhow::Result<()> {
    let asked = cluster.listen()?;
    samples.note(variant, "writes", asked.writes)?;
    samples.note(variant, "reads", asked.reads)
}
