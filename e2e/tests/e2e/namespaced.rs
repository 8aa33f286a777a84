//! Namespaced mode: each test has an operator of its own, in a namespace where Pod Security `restricted` is enforced, with
//! the chart values that it needs.

use paylab_e2e::{Node, Tier};
use serde_json::Value;

use crate::support::{Namespace, OURS, Program, Test, condition, example, experiment, import, install, message, root};

/// Few at once: each is a whole installation.
pub(crate) const PROGRAM: Program =
    Program { tier: Tier::Full, prepare, at_once: 3, lists: &[&[("namespaced", TESTS)]] };

const TESTS: &[Test] = &[
    ("a_lesson_runs_without_any_right_beyond_its_namespace", unprivileged),
    ("an_image_that_cannot_be_pulled_is_named", missing_image),
    ("a_load_that_is_out_of_memory_is_inconclusive", out_of_memory),
    ("a_part_that_fits_no_node_is_named", unschedulable),
    ("another_namespace_is_left_alone", other_namespace),
];

/// The definition is an administrator's, the rest a tenant's.
fn prepare(node: &Node) {
    import(node);
    node.kubectl(&["apply", "--filename", root().join("charts/paylab/files/chaosexperiments.yaml").to_str().unwrap()])
        .unwrap();
    node.kubectl(&["wait", "--for=condition=Established", "crd/chaosexperiments.paylab.dev", "--timeout=30s"]).unwrap();
}

/// An installation that sees one namespace.
fn installed<'a>(node: &'a Node, name: &'static str, values: &[&str]) -> Namespace<'a> {
    let ns = Namespace::restricted(node, name);
    let own = format!("fullnameOverride={name}");
    install(node, name, &[&["scope=Namespace", "crds.install=false", &own], values].concat()).unwrap();
    ns
}

fn unprivileged(node: &Node) {
    let ns = installed(node, "tenant", &[]);
    let cluster_wide = node.kubectl(&["get", "clusterroles,clusterrolebindings", "--output=name"]).unwrap();
    assert!(!cluster_wide.contains("tenant") && !cluster_wide.contains("paylab"), "{cluster_wide}");
    let text = example("pay-exactly-once").replace("spec:", "spec:\n  retain: Always");
    ns.apply(&text);
    let status = ns.ended("pay-exactly-once");
    assert_eq!(condition(&status, "Verified"), Some("True"), "{}", message(&status));
    let parts = ns.kubectl(&["get", "pods", OURS, "--output=json"]);
    let parts: Value = serde_json::from_str(&parts).unwrap();
    let parts = parts["items"].as_array().unwrap();
    assert_eq!(parts.len(), 3);
    for pod in parts {
        let volumes = pod["spec"]["volumes"].as_array().map_or(0, Vec::len);
        assert!(pod["spec"]["automountServiceAccountToken"] == false && volumes == 1, "{pod:#}");
    }
    let policy = node.kubectl(&["get", "networkpolicy/pay-exactly-once-lab", "-n", "tenant", "--output=name"]);
    assert!(policy.is_ok());
}

fn missing_image(node: &Node) {
    let ns = installed(node, "imageless", &[]);
    ns.kubectl(&[
        "set",
        "env",
        "deployment/imageless",
        "PAYLAB_IMAGE=registry.local/absent:1",
        "PAYLAB_IMAGE_PULL_POLICY=Never",
    ]);
    ns.kubectl(&["rollout", "status", "deployment/imageless", "--timeout=90s"]);
    ns.apply(&experiment("never", ""));
    let never = ns.ended("never");
    assert_eq!(
        (never["phase"].as_str(), never["reason"].as_str()),
        (Some("Failed"), Some("ErrImageNeverPull")),
        "{never:#}"
    );
    ns.kubectl(&["set", "env", "deployment/imageless", "PAYLAB_IMAGE_PULL_POLICY=IfNotPresent"]);
    ns.kubectl(&["rollout", "status", "deployment/imageless", "--timeout=90s"]);
    ns.apply(&experiment("pulled", "  activeDeadline: 20s\n"));
    // It is told while there is hope, and at the end.
    ns.status_when("pulled", |status| message(status).contains("registry.local/absent:1"));
    let pulled = ns.ended("pulled");
    let reason = pulled["reason"].as_str().unwrap_or_default();
    assert!(pulled["phase"] == "Failed" && ["ErrImagePull", "ImagePullBackOff"].contains(&reason), "{pulled:#}");
    assert!(message(&pulled).contains("registry.local/absent:1"), "{}", message(&pulled));
}

fn out_of_memory(node: &Node) {
    let ns = installed(node, "memoryless", &["parts.resources.limits.memory=64Mi"]);
    ns.apply(&experiment("huge", "  payments: {count: 100000000}\n  activeDeadline: 1m\n"));
    let status = ns.ended("huge");
    assert_eq!(
        (status["verdict"].as_str(), status["reason"].as_str()),
        (Some("Inconclusive"), Some("ReportMissing")),
        "{status:#}"
    );
    assert!(message(&status).contains("OOMKilled"), "{}", message(&status));
}

fn unschedulable(node: &Node) {
    let ns = installed(node, "nodeless", &["parts.resources.requests.cpu=1000"]);
    ns.apply(&experiment("large", "  activeDeadline: 15s\n"));
    let status = ns.ended("large");
    assert_eq!(
        (status["phase"].as_str(), status["reason"].as_str()),
        (Some("Failed"), Some("Unschedulable")),
        "{status:#}"
    );
    assert!(message(&status).contains("Insufficient cpu"), "{}", message(&status));
}

fn other_namespace(node: &Node) {
    let (mine, theirs) = (installed(node, "mine", &[]), Namespace::restricted(node, "theirs"));
    theirs.apply(&experiment("untouched", ""));
    mine.apply(&experiment("done", "  expect: Violated\n  payments: {count: 100}\n"));
    mine.ended("done");
    assert_eq!(theirs.status("untouched"), Value::Null);
}
