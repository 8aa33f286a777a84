//! The lesson as a user runs it, with `paylab run`.

use std::{fs, process::Command, time::Instant};

use tempfile::TempDir;

use super::lab_run::experiment;
use crate::{samples::Samples, settings::Settings};

/// The variant of the samples.
const LESSON: &str = "lesson";
const PAYMENTS: u32 = 1000;
const CONCURRENCY: u32 = 8;

/// Measures `paylab run` of the lesson, from the start of the process to its end.
pub(crate) fn measure(settings: &Settings) -> anyhow::Result<()> {
    let mut samples = Samples::new(settings.samples.as_deref());
    let directory = TempDir::new()?;
    let file = directory.path().join("lesson.yaml");
    fs::write(&file, experiment(PAYMENTS, CONCURRENCY))?;
    for _ in 0..settings.rounds {
        let begun = Instant::now();
        let output = Command::new(&settings.paylab).arg("run").arg(&file).output()?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        samples.record(LESSON, "wall_s", begun.elapsed().as_secs_f64())?;
    }
    println!("### The lesson: `paylab run`, {PAYMENTS} payments, {} rounds\n", settings.rounds);
    println!("Median {:.2} s from start to verdict.\n", samples.median(LESSON, "wall_s"));
    Ok(())
}
