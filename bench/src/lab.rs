//! The whole lab with each part as its own process, beside the floor; and the lesson as a user runs it.

use std::{fs, net::SocketAddr, path::Path, process::Command, time::Instant};

use tempfile::TempDir;

use crate::{
    Bench, floor,
    process::{Part, Took, free_address},
    samples::{Samples, turned},
};

/// Payments of one run; a lesson's attempts are about twice as many.
const PAYMENTS: u32 = 10_000;
/// Exchanges of one run of the floor.
const EXCHANGES: u32 = 20_000;
const CONCURRENCIES: [u32; 2] = [1, 64];
const LESSON: &str = "lesson";

/// What one run of the lab took.
pub(crate) struct LabRun {
    pub(crate) attempts: f64,
    pub(crate) load: Took,
    pub(crate) proxy_cpu_s: f64,
    pub(crate) service_cpu_s: f64,
    pub(crate) proxy_peak_mb: f64,
    pub(crate) service_peak_mb: f64,
}

/// The lesson with a key and a unique column, so that any number of payments books exactly that many.
fn experiment(payments: u32, concurrency: u32) -> String {
    format!(
        "apiVersion: paylab.dev/v1alpha1
kind: ChaosExperiment
metadata: {{name: bench}}
spec:
  claim: ExactlyOnce
  seed: 42
  activeDeadline: 30m
  payments: {{count: {payments}}}
  client: {{idempotencyKey: PerPayment, concurrency: {concurrency}}}
  service: {{dedup: UniqueKey}}
  faults:
    - {{name: request-lost, probability: 0.3, reset: {{at: BeforeRequest}}}}
    - {{name: response-lost, probability: 0.3, reset: {{at: BeforeResponse}}}}
"
    )
}

/// Runs one lab to its report, which must say that every payment was booked exactly once.
pub(crate) fn run(paylab: &Path, payments: u32, concurrency: u32) -> anyhow::Result<LabRun> {
    let directory = TempDir::new()?;
    let [service_at, proxy_at, control_at] = [free_address()?, free_address()?, free_address()?];
    let service = start_service(paylab, service_at, &directory)?;
    let arguments = ["reset-proxy", "--listen", &proxy_at.to_string(), "--control", &control_at.to_string()];
    let mut proxy = Part::start(paylab, &owned(&[&arguments[..], &["--upstream", &service_at.to_string()]].concat()))?;
    proxy.wait_ready(control_at)?;
    let (file, report) = (directory.path().join("experiment.yaml"), directory.path().join("report.json"));
    fs::write(&file, experiment(payments, concurrency))?;
    let addresses = [("--proxy", proxy_at), ("--control", control_at), ("--service", service_at)];
    let mut arguments = owned(&["load-job", &file.display().to_string(), "--report", &report.display().to_string()]);
    arguments.extend(addresses.iter().flat_map(|(option, address)| [(*option).to_owned(), address.to_string()]));
    let load = Part::start(paylab, &arguments)?.wait()?;
    let report: serde_json::Value = serde_json::from_str(&fs::read_to_string(report)?)?;
    anyhow::ensure!(
        report["entries"] == payments && report["doubts"] == serde_json::json!({}),
        "not a clean run: {report}"
    );
    Ok(LabRun {
        attempts: report["attempts"]["total"].as_f64().unwrap_or(f64::NAN),
        load,
        proxy_cpu_s: proxy.cpu_s()?,
        service_cpu_s: service.cpu_s()?,
        proxy_peak_mb: proxy.peak_mb()?,
        service_peak_mb: service.peak_mb()?,
    })
}

fn start_service(paylab: &Path, listen: SocketAddr, directory: &TempDir) -> anyhow::Result<Part> {
    let database = format!("sqlite:{}", directory.path().join("ledger.db").display());
    let arguments =
        ["payment-service", "--listen", &listen.to_string(), "--database", &database, "--dedup", "UniqueKey"];
    let mut service = Part::start(paylab, &owned(&arguments))?;
    service.wait_ready(listen)?;
    Ok(service)
}

fn owned(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|argument| (*argument).to_owned()).collect()
}

/// Attempts a second at concurrency 1 and 64, CPU by part, and the ratio to the floor of the same round.
pub(crate) fn measure(bench: &Bench) -> anyhow::Result<()> {
    let mut samples = Samples::new(bench.samples.as_deref());
    for round in 0..bench.rounds {
        for variant in turned(&[None, Some(CONCURRENCIES[0]), Some(CONCURRENCIES[1])], round) {
            match variant {
                None => samples.note("floor", "cpu_us", floor::cpu_us(EXCHANGES)?)?,
                Some(concurrency) => note_lab(&mut samples, &run(&bench.paylab, PAYMENTS, concurrency)?, concurrency)?,
            }
        }
    }
    println!("### The whole lab, {PAYMENTS} payments, {} rounds, medians\n", bench.rounds);
    println!("| in flight | attempts/s | load us | proxy us | service us | lab us per attempt | / TCP floor |");
    println!("|---|---|---|---|---|---|---|");
    for concurrency in CONCURRENCIES.map(|concurrency| concurrency.to_string()) {
        let median = |measure| samples.median(&concurrency, measure);
        println!(
            "| {concurrency} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.2} |",
            median("attempts_per_s"),
            median("load_us"),
            median("proxy_us"),
            median("service_us"),
            median("cpu_us"),
            samples.ratio(&concurrency, "floor", "cpu_us"),
        );
    }
    println!("\nTCP floor: {:.0} us of CPU per exchange through a relay.\n", samples.median("floor", "cpu_us"));
    Ok(())
}

fn note_lab(samples: &mut Samples, run: &LabRun, concurrency: u32) -> anyhow::Result<()> {
    let variant = concurrency.to_string();
    let each_us = |cpu_s: f64| cpu_s * 1e6 / run.attempts;
    samples.note(&variant, "attempts_per_s", run.attempts / run.load.wall_s)?;
    samples.note(&variant, "load_us", each_us(run.load.cpu_s))?;
    samples.note(&variant, "proxy_us", each_us(run.proxy_cpu_s))?;
    samples.note(&variant, "service_us", each_us(run.service_cpu_s))?;
    samples.note(&variant, "cpu_us", each_us(run.load.cpu_s + run.proxy_cpu_s + run.service_cpu_s))
}

/// `paylab run` of the lesson, from the process's start to its end.
pub(crate) fn lesson(bench: &Bench) -> anyhow::Result<()> {
    let mut samples = Samples::new(bench.samples.as_deref());
    let directory = TempDir::new()?;
    let file = directory.path().join("lesson.yaml");
    fs::write(&file, experiment(1000, 8))?;
    for _ in 0..bench.rounds {
        let begun = Instant::now();
        let output = Command::new(&bench.paylab).arg("run").arg(&file).output()?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        samples.note(LESSON, "wall_s", begun.elapsed().as_secs_f64())?;
    }
    println!("### The lesson: `paylab run`, 1000 payments, {} rounds\n", bench.rounds);
    println!("Median {:.2} s from start to verdict.\n", samples.median(LESSON, "wall_s"));
    Ok(())
}
