//! A crowd of settled experiments, as a cluster has them after a long time. They are made while the operator is away: each has
//! the status of one that has run.

use std::{fmt::Write as _, fs};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::{account::Asked, cluster::Cluster};

/// So many experiments.
pub(crate) const CROWD: u32 = 1000;
const NAMESPACE: &str = "crowd";

/// Makes the crowd like the experiment of a namespace, and tells what the operator asked for until it had seen all of it.
pub(crate) fn gather(cluster: &Cluster, like: &str) -> anyhow::Result<Asked> {
    let lesson: Value = serde_json::from_str(&cluster.lesson(like)?)?;
    cluster.stop_operator()?;
    cluster.make_namespace(NAMESPACE)?;
    cluster.apply(NAMESPACE, &documents(&lesson["spec"])?)?;
    settle_all(cluster, &lesson["status"])?;
    let audit = cluster.audit()?;
    cluster.start_operator()?;
    let asked = Asked::by_operator(&audit.requests()?);
    ensure!(asked.reads >= f64::from(CROWD), "the operator has not looked at each of {CROWD} experiments: {asked:?}");
    Ok(asked)
}

fn documents(spec: &Value) -> anyhow::Result<String> {
    let mut documents = String::new();
    for number in 0..CROWD {
        let head = "apiVersion: paylab.dev/v1alpha1\nkind: ChaosExperiment";
        write!(documents, "---\n{head}\nmetadata: {{name: never-pay-too-little-{number}}}\nspec: {spec}\n")?;
    }
    Ok(documents)
}

/// Gives all of the crowd a status, each with its own run's name.
fn settle_all(cluster: &Cluster, status: &Value) -> anyhow::Result<()> {
    let mut list: Value = serde_json::from_str(&cluster.kubectl(NAMESPACE, &["get", "payx", "--output=json"])?)?;
    for item in list["items"].as_array_mut().context("a list has no items")? {
        item["status"] = status.clone();
        item["status"]["runId"] = item["metadata"]["uid"].clone();
    }
    let directory = TempDir::new()?;
    let file = directory.path().join("crowd.json");
    fs::write(&file, list.to_string())?;
    let file = format!("--filename={}", file.display());
    cluster.kubectl(NAMESPACE, &["replace", "--subresource=status", &file]).map(drop)
}
