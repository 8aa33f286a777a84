//! Many completed experiments, as a cluster has them after a long time. They are created while the operator is stopped, each with
//! the status of an experiment that has run.

use std::{fmt::Write as _, fs};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::{cluster::Cluster, timeline::RequestCounts};

/// The number of experiments.
pub(crate) const COUNT: u32 = 1000;
const NAMESPACE: &str = "completed";

/// Creates copies of the experiment in a namespace, starts the operator, and counts its requests until it is idle.
pub(crate) fn create(cluster: &Cluster, namespace: &str) -> anyhow::Result<RequestCounts> {
    let lesson: Value = serde_json::from_str(&cluster.lesson(namespace)?)?;
    cluster.stop_operator()?;
    cluster.create_namespace(NAMESPACE)?;
    cluster.apply(NAMESPACE, &documents(&lesson["spec"])?)?;
    write_status_of_all(cluster, &lesson["status"])?;
    let audit_log = cluster.audit_log_from_now()?;
    cluster.start_operator()?;
    let requests = RequestCounts::of_operator(&audit_log.requests()?);
    ensure!(requests.reads >= f64::from(COUNT), "the operator has not read each of {COUNT} experiments: {requests:?}");
    Ok(requests)
}

fn documents(spec: &Value) -> anyhow::Result<String> {
    let mut documents = String::new();
    for number in 0..COUNT {
        let head = "apiVersion: paylab.dev/v1alpha1\nkind: ChaosExperiment";
        write!(documents, "---\n{head}\nmetadata: {{name: never-pay-too-little-{number}}}\nspec: {spec}\n")?;
    }
    Ok(documents)
}

/// Writes the status of all experiments, each with its own run id.
fn write_status_of_all(cluster: &Cluster, status: &Value) -> anyhow::Result<()> {
    let mut list: Value = serde_json::from_str(&cluster.kubectl(NAMESPACE, &["get", "payx", "--output=json"])?)?;
    for item in list["items"].as_array_mut().context("the list has no items")? {
        item["status"] = status.clone();
        item["status"]["runId"] = item["metadata"]["uid"].clone();
    }
    let directory = TempDir::new()?;
    let file = directory.path().join("experiments.json");
    fs::write(&file, list.to_string())?;
    let file = format!("--filename={}", file.display());
    cluster.kubectl(NAMESPACE, &["replace", "--subresource=status", &file]).map(drop)
}
