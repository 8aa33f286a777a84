//! Many experiments that wait for their turn, behind labs that never become ready.

use std::{fmt::Write as _, thread, time::Duration};

use anyhow::ensure;
use paylab_e2e::eventually;
use serde_json::{Value, json};

use super::{
    cluster::{Cluster, Memory},
    timeline::RequestCounts,
};

/// The number of experiments that wait.
pub(crate) const COUNT: usize = 500;
/// Their requests are counted for this time, in which each lab before them is looked at once.
pub(crate) const PERIOD: Duration = Duration::from_secs(60);
/// As many labs of one namespace may be under way.
const LABS_MAX_PER_NAMESPACE: u32 = 4;
const NAMESPACE: &str = "waiting";
/// The time limit for all of them to say that they wait.
const TOLD_WITHIN: Duration = Duration::from_secs(120);

/// The requests while many wait, and the memory that they take.
pub(crate) struct Waiting {
    /// Of all experiments, with the labs under way.
    pub(crate) all: RequestCounts,
    /// Of those that wait.
    pub(crate) alone: RequestCounts,
    pub(crate) memory: Memory,
}

/// Lets copies of the experiment in a namespace wait, counts the requests of the operator, and removes them.
pub(crate) fn measure(cluster: &Cluster, namespace: &str) -> anyhow::Result<Waiting> {
    let lesson: Value = serde_json::from_str(&cluster.lesson(namespace)?)?;
    cluster.create_namespace(NAMESPACE)?;
    cluster.apply(NAMESPACE, &documents("unready", LABS_MAX_PER_NAMESPACE, &without_a_node(&lesson["spec"]))?)?;
    eventually("labs under way", TOLD_WITHIN, || told(cluster, "Unschedulable", LABS_MAX_PER_NAMESPACE))?;
    let count = u32::try_from(COUNT)?;
    cluster.apply(NAMESPACE, &documents("waiting", count, &lesson["spec"])?)?;
    eventually("experiments that wait", TOLD_WITHIN, || told(cluster, "Queued", count))?;
    cluster.wait_until_idle()?;
    let audit_log = cluster.audit_log_from_now()?;
    thread::sleep(PERIOD);
    let requests = audit_log.requests()?;
    let all = RequestCounts::of_operator(&requests);
    let waiting: Vec<_> = requests.into_iter().filter(|it| it.name.starts_with("waiting-")).collect();
    let measured = Waiting { all, alone: RequestCounts::of_operator(&waiting), memory: cluster.memory()? };
    // Without an operator none of them begins when those before it are deleted.
    cluster.stop_operator()?;
    cluster.kubectl(NAMESPACE, &["delete", "namespace", NAMESPACE, "--timeout=3m"])?;
    cluster.start_operator()?;
    Ok(measured)
}

/// The experiment with a service of its own that no node has room for.
fn without_a_node(spec: &Value) -> Value {
    let mut spec = spec.clone();
    for field in ["service", "seed"] {
        spec.as_object_mut().map(|spec| spec.remove(field));
    }
    spec["target"] = json!({
        "image": {"image": "none:1", "port": 9000, "resources": {"requests": {"cpu": 1000}}},
        "pay": {"post": "/p", "text": "{reference}"},
        "ledger": {"list": {"get": "/p", "items": "$[*]", "reference": "$.r", "minor": "$.m"}},
    });
    spec
}

fn documents(name: &str, count: u32, spec: &Value) -> anyhow::Result<String> {
    let mut documents = String::new();
    for number in 0..count {
        let head = "apiVersion: paylab.dev/v1alpha1\nkind: ChaosExperiment";
        write!(documents, "---\n{head}\nmetadata: {{name: {name}-{number}}}\nspec: {spec}\n")?;
    }
    Ok(documents)
}

/// Whether so many experiments say that they wait for this reason.
fn told(cluster: &Cluster, reason: &str, count: u32) -> anyhow::Result<()> {
    let reasons = "--output=jsonpath={.items[*].status.conditions[?(@.type==\"EnvironmentReady\")].reason}";
    let reasons = cluster.kubectl(NAMESPACE, &["get", "payx", reasons])?;
    let told = reasons.split_whitespace().filter(|told| *told == reason).count();
    ensure!(told == usize::try_from(count)?, "{told} of {count} say {reason}");
    Ok(())
}
