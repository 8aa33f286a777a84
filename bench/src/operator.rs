//! The operator on a real Kubernetes node, installed with the chart: its share of an experiment's time, its requests to the API
//! server, its memory, and the size of the image.

mod cluster;
mod completed_experiments;
mod table;
mod timeline;
mod variants;
mod waiting_experiments;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};

use self::{
    cluster::{Cluster, IMAGE, Memory},
    timeline::{RequestCounts, Timeline},
    variants::{AFTER_RUNS, EXPERIMENT, IDLE, IMAGE_ARCHIVE, MANY_COMPLETED, MANY_WAITING, START, WAITING_ALONE},
};
use crate::samples::Samples;

/// Fewer runs of the experiment say little on a shared machine.
const RUNS_MIN: usize = 7;
/// The default path of the image archive, in the home directory.
const DEFAULT_ARCHIVE: &str = ".cache/paylab/paylab.tar";

/// Starts a node, measures, stops the node and prints the tables.
pub(crate) fn measure(image: Option<PathBuf>, rounds: usize, samples: Option<&Path>) -> anyhow::Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "this measurement starts a Kubernetes node: run it as root");
    let image = archive_path(image)?;
    let runs = rounds.max(RUNS_MIN);
    let mut samples = Samples::new(samples);
    #[expect(clippy::cast_precision_loss, reason = "an image has no petabytes")]
    let size_mb = fs::metadata(&image)?.len() as f64 / 1e6;
    samples.record(IMAGE_ARCHIVE, "size_mb", size_mb)?;
    let cluster = Cluster::start(&image)?;
    record_requests(&mut samples, START, cluster.requests_of_start())?;
    record_memory(&mut samples, IDLE, cluster.memory()?)?;
    // The first run fills caches and is not measured.
    cluster.run("warm")?;
    for run in 0..runs {
        record_timeline(&mut samples, &cluster.run(&format!("run-{run}"))?)?;
        eprintln!("run {} of {runs} is done", run + 1);
    }
    record_idle_requests(&mut samples, &cluster, AFTER_RUNS)?;
    record_memory(&mut samples, AFTER_RUNS, cluster.memory()?)?;
    let waiting = waiting_experiments::measure(&cluster, "warm")?;
    record_requests(&mut samples, MANY_WAITING, waiting.all)?;
    record_requests(&mut samples, WAITING_ALONE, waiting.alone)?;
    record_memory(&mut samples, MANY_WAITING, waiting.memory)?;
    let first = completed_experiments::create(&cluster, "warm")?;
    samples.record(MANY_COMPLETED, "first_writes", first.writes)?;
    samples.record(MANY_COMPLETED, "first_reads", first.reads)?;
    record_idle_requests(&mut samples, &cluster, MANY_COMPLETED)?;
    record_memory(&mut samples, MANY_COMPLETED, cluster.memory()?)?;
    cluster.stop()?;
    table::print(&samples, runs);
    Ok(())
}

/// The path of the image archive.
fn archive_path(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(DEFAULT_ARCHIVE));
    let archive = named.or_else(home).context("HOME is not set; name the image archive with --image")?;
    let (name, tag) = IMAGE;
    ensure!(archive.exists(), "there is no image archive; build it: image/build {name}:{tag} {}", archive.display());
    Ok(archive)
}

fn record_timeline(samples: &mut Samples, timeline: &Timeline) -> anyhow::Result<()> {
    let Timeline { build_ms, lab_ms, launch_ms, load_ms, judge_ms, requests } = *timeline;
    samples.record(EXPERIMENT, "build_ms", build_ms)?;
    samples.record(EXPERIMENT, "lab_ms", lab_ms)?;
    samples.record(EXPERIMENT, "launch_ms", launch_ms)?;
    samples.record(EXPERIMENT, "load_ms", load_ms)?;
    samples.record(EXPERIMENT, "judge_ms", judge_ms)?;
    samples.record(EXPERIMENT, "wall_ms", timeline.wall_ms())?;
    samples.record(EXPERIMENT, "operator_ms", timeline.operator_ms())?;
    samples.record(EXPERIMENT, "writes", requests.writes)?;
    samples.record(EXPERIMENT, "reads", requests.reads)
}

fn record_memory(samples: &mut Samples, variant: &str, memory: Memory) -> anyhow::Result<()> {
    samples.record(variant, "rss_mib", memory.rss_mib)?;
    samples.record(variant, "peak_mib", memory.peak_mib)
}

/// Records the operator's requests while nothing happens.
fn record_idle_requests(samples: &mut Samples, cluster: &Cluster, variant: &str) -> anyhow::Result<()> {
    record_requests(samples, variant, cluster.count_idle_requests()?)
}

fn record_requests(samples: &mut Samples, variant: &str, requests: RequestCounts) -> anyhow::Result<()> {
    samples.record(variant, "writes", requests.writes)?;
    samples.record(variant, "reads", requests.reads)?;
    samples.record(variant, "watches", requests.watches)
}
