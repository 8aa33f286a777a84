//! What is written where people may read it.

use paylab_e2e::Node;

use super::namespace::Namespace;

/// Everything that Paylab or Kubernetes has written in the namespace, except the Secrets, and the operator's log and metrics; each with a name.
/// The termination messages are in the pods' status.
pub(crate) fn written_texts(node: &Node, ns: &Namespace<'_>) -> Vec<(String, String)> {
    let kinds = ["payx", "events", "pods", "configmaps", "services", "deployments", "replicasets", "jobs"];
    let mut texts: Vec<_> =
        kinds.iter().map(|kind| ((*kind).to_owned(), ns.kubectl(&["get", kind, "--output=json"]))).collect();
    for pod in ns.kubectl(&["get", "pods", "--output=name"]).lines() {
        for instance in ["--previous=false", "--previous=true"] {
            // Fails for a container that has not started, or was not restarted.
            let log = ns.try_kubectl(&["logs", pod, "--all-containers", instance]).unwrap_or_default();
            texts.push((format!("log of {pod}, {instance}"), log));
        }
    }
    let operator = "--selector=app.kubernetes.io/component=operator";
    let log = node.kubectl(&["logs", operator, "--namespace=paylab", "--tail=-1"]).unwrap();
    texts.push(("log of the operator".to_owned(), log));
    let metrics = "--raw=/api/v1/namespaces/paylab/services/paylab:metrics/proxy/metrics";
    texts.push(("metrics of the operator".to_owned(), node.kubectl(&["get", metrics]).unwrap()));
    texts
}
