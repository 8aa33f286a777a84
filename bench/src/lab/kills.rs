//! The time from the order to kill the service until its process is dead, and until it serves again.

use std::{fs::File, path::Path, process::Command};

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
    let (file, evidence) = (directory.path().join("kills.yaml"), directory.path().join("evidence"));
    std::fs::write(&file, experiment(mode))?;
    let mut command = Command::new(paylab);
    command.args(["run", "--output", "json", "--quiet", "--evidence"]).args([&evidence, &file]);
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
    let attempts = zstd::decode_all(File::open(evidence.join("attempts.ndjson.zst"))?)?;
    let lines = attempts.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let lines = lines.map(serde_json::from_slice::<Value>).collect::<Result<Vec<_>, _>>()?;
    let kills = lines.iter().filter_map(kill_of).map(times).collect::<anyhow::Result<Vec<_>>>()?;
    anyhow::ensure!(kills.len() == KILLS, "the evidence has the times of {} kills only", kills.len());
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

/// The times of a kill, wherever a line of the evidence has them.
fn kill_of(line: &Value) -> Option<&Value> {
    match line {
        Value::Object(fields) => match fields.get("kill") {
            Some(kill) if kill.is_object() => Some(kill),
            Some(_) | None => fields.values().find_map(kill_of),
        },
        Value::Array(items) => items.iter().find_map(kill_of),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn times(kill: &Value) -> anyhow::Result<Kill> {
    let at_us = |name: &str| kill[name].as_f64().with_context(|| format!("a kill has no {name}: {kill}"));
    let ordered_us = at_us("ordered_us")?;
    Ok(Kill { dead_ms: (at_us("dead_us")? - ordered_us) / 1e3, serving_ms: (at_us("serving_us")? - ordered_us) / 1e3 })
}
