//! Tests of installations that watch one namespace. Each test has an operator of its own, in a namespace where Pod Security
//! `restricted` is enforced, with the chart values that it needs.

mod flux;

use paylab_e2e::{Node, NodeKind};
use serde_json::{Value, json};

use crate::support::{
    LAB_OBJECTS, Namespace, Suite, Test, await_established, condition, example, experiment, import_image,
    install_chart, message, root,
};

/// Few tests run at once, because each has a whole installation.
pub(crate) const SUITE: Suite =
    Suite { kind: NodeKind::Full, prepare, parallel: 3, groups: &[&[("namespaced", TESTS)]] };

const TESTS: &[Test] = &[
    ("flux_installs_the_chart_and_waits_for_verdicts", flux::waits_for_verdicts),
    ("a_lesson_runs_without_rights_outside_its_namespace", unprivileged),
    ("an_image_that_cannot_be_pulled_is_named", missing_image),
    ("a_load_gets_the_memory_that_its_payments_need", large_load),
    ("a_pod_that_fits_no_node_is_named", unschedulable),
    ("an_experiment_in_another_namespace_is_ignored", other_namespace),
];

/// Installs the CustomResourceDefinition, which only an administrator may do.
fn prepare(node: &Node) {
    import_image(node);
    node.kubectl(&["apply", "--filename", root().join("charts/paylab/files/chaosexperiments.yaml").to_str().unwrap()])
        .unwrap();
    await_established(node, &["crd/chaosexperiments.paylab.dev"]);
}

/// A namespace with an installation that watches only this namespace.
fn installed<'a>(node: &'a Node, name: &'static str, values: &[&str]) -> Namespace<'a> {
    let ns = Namespace::restricted(node, name);
    let own = format!("fullnameOverride={name}");
    install_chart(node, name, &[&["scope=Namespace", "crds.install=false", &own], values].concat()).unwrap();
    ns
}

fn unprivileged(node: &Node) {
    let ns = installed(node, "tenant", &[]);
    let cluster_wide = node.kubectl(&["get", "clusterroles,clusterrolebindings", "--output=name"]).unwrap();
    assert!(!cluster_wide.contains("tenant") && !cluster_wide.contains("paylab"), "{cluster_wide}");
    let text = example("pay-exactly-once").replace("spec:", "spec:\n  retain: Always");
    ns.apply(&text);
    let status = ns.final_status("pay-exactly-once");
    assert_eq!(condition(&status, "Verified"), Some("True"), "{}", message(&status));
    // The pods of service and proxy are gone, because a lab that is kept is stopped.
    let parts = ns.kubectl(&["get", "deployments,jobs", LAB_OBJECTS, "--output=json"]);
    let parts: Value = serde_json::from_str(&parts).unwrap();
    let parts = parts["items"].as_array().unwrap();
    assert_eq!(parts.len(), 3);
    for pod in parts.iter().map(|part| &part["spec"]["template"]) {
        let volumes = pod["spec"]["volumes"].as_array().map_or(0, Vec::len);
        assert!(pod["spec"]["automountServiceAccountToken"] == false && volumes == 1, "{pod:#}");
    }
    let policy = node.kubectl(&["get", "networkpolicy/pay-exactly-once-lab", "-n", "tenant", "--output=name"]);
    assert!(policy.is_ok());
}

/// An image of a registry that refuses every connection, whose host needs no DNS.
const ABSENT: &str = "127.0.0.1:1/absent:1";

fn missing_image(node: &Node) {
    let ns = installed(node, "imageless", &[]);
    ns.kubectl(&[
        "set",
        "env",
        "deployment/imageless",
        &format!("PAYLAB_IMAGE={ABSENT}"),
        "PAYLAB_IMAGE_PULL_POLICY=Never",
    ]);
    ns.kubectl(&["rollout", "status", "deployment/imageless", "--timeout=90s"]);
    ns.apply(&experiment("never", ""));
    let never = ns.final_status("never");
    assert_eq!(
        (never["phase"].as_str(), never["reason"].as_str()),
        (Some("Failed"), Some("ErrImageNeverPull")),
        "{never:#}"
    );
    ns.kubectl(&["set", "env", "deployment/imageless", "PAYLAB_IMAGE_PULL_POLICY=IfNotPresent"]);
    ns.kubectl(&["rollout", "status", "deployment/imageless", "--timeout=90s"]);
    ns.apply(&experiment("pulled", "  activeDeadline: 60s\n"));
    // The message names the image while the operator still waits, and at the end.
    ns.status_when("pulled", |status| message(status).contains(ABSENT));
    let pulled = ns.final_status("pulled");
    let reason = pulled["reason"].as_str().unwrap_or_default();
    assert!(pulled["phase"] == "Failed" && ["ErrImagePull", "ImagePullBackOff"].contains(&reason), "{pulled:#}");
    assert!(message(&pulled).contains(ABSENT), "{}", message(&pulled));
}

fn large_load(node: &Node) {
    let ns = installed(node, "memoryless", &["parts.resources.limits.memory=64Mi"]);
    ns.apply(&experiment("huge", "  payments: {count: 10000000}\n  activeDeadline: 60s\n"));
    let status = ns.final_status("huge");
    // With the limit of the other parts the load would be killed before it could report: its payments need more than 64 MiB. What it
    // reports after its deadline is enough to see that the path pays twice.
    assert_eq!(
        (status["verdict"].as_str(), status["reason"].as_str()),
        (Some("Violated"), Some("Duplicated")),
        "{status:#}"
    );
    assert!(status["lab"]["findings"][0].as_str().unwrap_or_default().contains("ended early"), "{status:#}");
    let limit = "--output=jsonpath={.spec.template.spec.containers[0].resources.limits.memory}";
    assert_eq!(ns.kubectl(&["get", "jobs/huge-load-job", limit]), "405Mi");
    assert_eq!(ns.kubectl(&["get", "deployments/huge-reset-proxy", limit]), "64Mi");
}

fn unschedulable(node: &Node) {
    let ns = installed(node, "nodeless", &["parts.resources.requests.cpu=1000"]);
    ns.apply(&experiment("large", "  activeDeadline: 15s\n"));
    let status = ns.final_status("large");
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
    mine.final_status("done");
    assert_eq!(theirs.status("untouched"), json!({"observedGeneration": -1}), "as the API server writes it");
}
