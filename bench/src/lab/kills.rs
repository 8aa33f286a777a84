//! The time from the order to kill the service until its process is dead, and until it serves again.

use std::{path::Path, process::Command};

use anyhow::Context as _;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    samples::{Samples, rotated},
    settings::Settings,
};

/// The kills of one run: the first attempt of each payment meets one.
const KILLS: usize = 1000;
const MODES: [&str; 3] = ["UniqueKey", "None", "Replay"];
const DEAD: &str = "dead_ms";
const SERVING: &str = "serving_ms";

/// Measures the modes, interleaved, and prints what all kills of a mode took.
pub(crate) fn measure(settings: &Settings) -> anyhow::Result<()> {
    let mut samples = Samples::new(settings.samples.as_deref());
    for round in 0..settings.rounds {
        for mode in rotated(&MODES, round) {
            for kill in run(&settings.paylab, mode)? {
                samples.record(mode, DEAD, kill.dead_ms)?;
                samples.record(mode, SERVING, kill.serving_ms)?;
            }
        }
    }
    println!("### Kills, {KILLS} in each run, {} rounds, from the order, in ms\n", settings.rounds);
    println!("| mode | dead: median | 95 % | most | serving again: median | 95 % | most |");
    println!("|---|---|---|---|---|---|---|");
    for mode in MODES {
        let times = [DEAD, SERVING].map(|measure| {
            let quantile = |part| samples.quantile(mode, measure, part);
            format!("{:.1} | {:.1} | {:.1}", quantile(0.5), quantile(0.95), samples.largest(mode, measure))
        });
        println!("| {mode} | {} |", times.join(" | "));
    }
    println!();
    Ok(())
}

/// The times of one kill.
struct Kill {
    dead_ms: f64,
    serving_ms: f64,
}

/// Runs one experiment, and checks that every kill took place, that nothing is in doubt and that nothing acknowledged is missing.
fn run(paylab: &Path, mode: &str) -> anyhow::Result<Vec<Kill>> {
    let directory = TempDir::new()?;
    let file = directory.path().join("kills.yaml");
    std::fs::write(&file, experiment(mode))?;
    let mut command = Command::new(paylab);
    command.args(["run", "--output", "json", "--quiet", "--log", "info"]).arg(&file);
    let output = command.output().with_context(|| format!("cannot start {}", paylab.display()))?;
    let outcome: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("no outcome: {}", String::from_utf8_lossy(&output.stderr)))?;
    let is_lost = |anomaly: &Value| anomaly["kind"] == "AcknowledgedButLost";
    let anomalies = outcome["anomalies"].as_array().context("the outcome has no anomalies")?;
    anyhow::ensure!(
        outcome["faults"][0]["effective"] == KILLS
            && outcome["doubts"] == Value::Array(Vec::new())
            && !anomalies.iter().any(is_lost),
        "the run has unexpected results: {outcome:#}"
    );
    // The evidence keeps the attempts of few payments that hold, so the times of all kills are in the log only.
    let log = String::from_utf8_lossy(&output.stderr);
    let kills: Vec<_> = log.lines().filter_map(kill_of).collect();
    anyhow::ensure!(kills.len() == KILLS, "the log has the times of {} kills only", kills.len());
    Ok(kills)
}

fn experiment(mode: &str) -> String {
    let expect = if mode == "None" { "Violated" } else { "Upheld" };
    format!(
        "apiVersion: paylab.dev/v1alpha1
kind: ChaosExperiment
metadata: {{name: kills}}
spec:
  claim: ExactlyOnce
  expect: {expect}
  seed: 42
  activeDeadline: 10m
  payments: {{count: {KILLS}}}
  client: {{idempotencyKey: PerPayment, concurrency: 1}}
  service: {{dedup: {mode}}}
  faults: [{{name: killed, probability: 1, attempts: [1], kill: {{at: BeforeResponse}}}}]
"
    )
}

/// The times of the kill that a line of the log tells.
fn kill_of(line: &str) -> Option<Kill> {
    let ms = |field: &str| {
        let digits = line.split_once(field)?.1;
        let end = digits.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(digits.len());
        Some(digits[..end].parse::<f64>().ok()? / 1e3)
    };
    Some(Kill { dead_ms: ms("dead_us=")?, serving_ms: ms("serving_us=")? })
}
