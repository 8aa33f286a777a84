//! One run of the lab.

use std::{fs, net::SocketAddr, path::Path};

use paylab_core::judge::report::Report;
use tempfile::TempDir;

use super::foreign_view;
use crate::process::{ChildProcess, ResourceUsage, free_address};

/// The resources that one run of the lab used.
pub(crate) struct LabRun {
    pub(crate) attempts: f64,
    pub(crate) load: ResourceUsage,
    pub(crate) proxy_cpu_s: f64,
    pub(crate) service_cpu_s: f64,
    pub(crate) proxy_peak_mb: f64,
    pub(crate) service_peak_mb: f64,
}

/// How payments are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// As Paylab's own service is paid.
    Own,
    /// As a contract says.
    Contract,
}

/// The service of [`experiment`] as a contract describes it, but for its URL.
const CONTRACT: &str = "    pay:
      post: /payments/
      headers: {Payment-Idempotence-Key: \"{key}\", Paylab-Reference: \"{reference}\"}
      json: {src: \"{from}\", dest: \"{to}\", amount: \"{amount.decimal}\"}
      answers: [{status: [200], means: Acknowledged}, {status: [208], means: Repeat}]
    ledger:
      list: {get: /list, items: \"$.data[*].entry\", reference: $.reference, minor: $.amount_minor}
";

impl Wire {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Contract => "contract",
        }
    }
}

/// The lesson with an idempotency key and `UniqueKey`, so that every payment is booked exactly once.
pub(crate) fn experiment(payments: u32, concurrency: u32) -> String {
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

/// Runs the lab, and checks that its report counts every payment as booked exactly once.
pub(crate) fn run(paylab: &Path, payments: u32, concurrency: u32) -> anyhow::Result<LabRun> {
    run_by(paylab, payments, concurrency, Wire::Own)
}

/// The same, on either wire.
pub(crate) fn run_by(paylab: &Path, payments: u32, concurrency: u32, wire: Wire) -> anyhow::Result<LabRun> {
    let directory = TempDir::new()?;
    let [service_at, proxy_at, control_at] = [free_address()?, free_address()?, free_address()?];
    let service = start_service(paylab, service_at, &directory)?;
    let arguments = ["reset-proxy", "--listen", &proxy_at.to_string(), "--control", &control_at.to_string()];
    let mut proxy =
        ChildProcess::start(paylab, &owned(&[&arguments[..], &["--upstream", &service_at.to_string()]].concat()))?;
    proxy.wait_ready(control_at)?;
    let (file, report) = (directory.path().join("experiment.yaml"), directory.path().join("report.json"));
    let experiment = experiment(payments, concurrency);
    fs::write(
        &file,
        match wire {
            Wire::Own => experiment,
            Wire::Contract => {
                let target = format!("  target:\n    url: http://{}\n{CONTRACT}", foreign_view::start(service_at)?);
                experiment.replace("  service: {dedup: UniqueKey}\n", &target)
            }
        },
    )?;
    let addresses = [("--proxy", proxy_at), ("--control", control_at), ("--service", service_at)];
    let mut arguments = owned(&["load-job", &file.display().to_string(), "--report", &report.display().to_string()]);
    arguments.extend(addresses.iter().flat_map(|(option, address)| [(*option).to_owned(), address.to_string()]));
    let load = ChildProcess::start(paylab, &arguments)?.wait()?;
    let report: Report = serde_json::from_str(&fs::read_to_string(report)?)?;
    anyhow::ensure!(
        report.entries() == Some(payments.into()) && report.doubts.is_empty(),
        "the run has unexpected results: {report:?}"
    );
    Ok(LabRun {
        attempts: f64::from(u32::try_from(report.attempts.total)?),
        load,
        proxy_cpu_s: proxy.cpu_s()?,
        service_cpu_s: service.cpu_s()?,
        proxy_peak_mb: proxy.peak_mb()?,
        service_peak_mb: service.peak_mb()?,
    })
}

fn start_service(paylab: &Path, listen: SocketAddr, directory: &TempDir) -> anyhow::Result<ChildProcess> {
    let database = format!("sqlite:{}", directory.path().join("ledger.db").display());
    let arguments =
        ["payment-service", "--listen", &listen.to_string(), "--database", &database, "--dedup", "UniqueKey"];
    let mut service = ChildProcess::start(paylab, &owned(&arguments))?;
    service.wait_ready(listen)?;
    Ok(service)
}

fn owned(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|argument| (*argument).to_owned()).collect()
}
