//! Waits until what was created is in force: a policy, a webhook, a quota, a limit or a kind of resource is so some time afterwards, because the API
//! server hears of it by a watch.

use std::time::Duration;

use anyhow::ensure;
use paylab_e2e::{Node, eventually};
use serde_json::json;

use super::namespace::Namespace;

/// The time limit for the API server to hear of what was created.
const HEARD_WITHIN: Duration = Duration::from_secs(60);

/// Waits until admission answers with this text when somebody creates the object, which is not created: in what the object would be, or in the
/// refusal.
pub(crate) fn await_admission(node: &Node, object: &str, text: &str) {
    let answered = || {
        let answer = node.dry_run(object).unwrap_or_else(|refusal| format!("{refusal:#}"));
        ensure!(answer.contains(text), "the answer is {answer}");
        Ok(())
    };
    eventually(text, HEARD_WITHIN, answered).unwrap();
}

/// Waits until resources of these CustomResourceDefinitions can be created. `kubectl wait` by itself fails at one that has no condition yet.
pub(crate) fn await_established(node: &Node, definitions: &[&str]) {
    let wait = [&["wait", "--for=condition=Established", "--timeout=10s"], definitions].concat();
    eventually("the definitions", HEARD_WITHIN, || node.kubectl(&wait)).unwrap();
}

/// A pod of this component, as Pod Security `restricted` allows it.
pub(crate) fn probe(ns: &Namespace<'_>, component: &str) -> String {
    let own = json!({
        "name": component,
        "image": "registry.local/busybox:lab",
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
    });
    let context = json!({"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}});
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "probe", "namespace": ns.name(), "labels": {"app.kubernetes.io/component": component}},
        "spec": {"containers": [own], "securityContext": context},
    })
    .to_string()
}
