//! Tests of what a cluster does to pods and to itself: sidecars, limits, taints, and components that are restarted while a load runs. The
//! verdict is the same as without, or the message says what is in the way.

use std::time::Duration;

use anyhow::ensure;
use paylab_e2e::{Component, Node, eventually};
use serde_json::{Value, json};

use super::VALUES;
use crate::support::{Namespace, Test, Webhook, await_admission, experiment, install_chart, message, probe};

/// These run beside others.
pub(crate) const TESTS: &[Test] = &[
    ("sidecars_of_a_webhook_change_no_verdict_and_one_that_crashes_is_named", sidecars),
    ("the_defaults_of_a_limit_range_change_no_verdict", limit_range),
];

/// These disturb the whole node.
pub(crate) const DISTURBING: &[Test] = &[
    ("a_tainted_node_is_named_and_parts_that_tolerate_it_run", taint),
    ("an_api_server_and_a_kubelet_that_are_killed_change_no_verdict", restarts),
];

/// The sidecar's name comes before those of all parts.
const SIDECAR: &str = "aaa-sidecar";
/// How long a component is down: longer than a usual restart.
const DOWN_FOR: Duration = Duration::from_secs(4);
/// How soon after a restart the operator must have heard of a new experiment. Its watches try again after a second, and after two, four and eight.
const HEARD_WITHIN: Duration = Duration::from_secs(20);

/// Two small experiments: one that pays twice, and one that holds.
fn pair(ns: &Namespace<'_>, further: &str) {
    let small = format!("  payments: {{count: 100}}\n{further}");
    ns.apply(&experiment("broken", &format!("  expect: Violated\n{small}")));
    let safe = "  client: {idempotencyKey: PerPayment}\n  service: {dedup: UniqueKey}\n";
    ns.apply(&experiment("safe", &format!("{safe}{small}")));
}

/// Both have the verdict that they have without any obstacle.
fn assert_verdicts(ns: &Namespace<'_>) {
    for (name, verdict, reason) in [("broken", "Violated", "Duplicated"), ("safe", "Upheld", "ClaimHeld")] {
        let status = ns.final_status(name);
        assert_eq!((&status["verdict"], &status["reason"]), (&json!(verdict), &json!(reason)), "{status:#}");
    }
}

/// A container that runs this in a shell, as Pod Security `restricted` allows it.
fn sidecar(script: &str) -> Value {
    json!({
        "name": SIDECAR,
        "image": "registry.local/busybox:lab",
        "command": ["/paylab", "sh", "-c", script],
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
    })
}

/// Which pods get which sidecar.
fn injected(namespace: &str, pod: &Value) -> Option<Value> {
    let runs_on = "trap 'exit 0' TERM; sleep 600 & wait";
    let crashes = "echo no control plane >&2; exit 3";
    let component = pod["metadata"]["labels"]["app.kubernetes.io/component"].as_str()?;
    match (namespace, component) {
        ("sidecar-runs-on", _) => Some(sidecar(runs_on)),
        ("sidecar-of-load", "load-job") | ("sidecar-of-lab", "payment-service") => Some(sidecar(crashes)),
        _ => None,
    }
}

fn sidecars(node: &Node) {
    let (_webhook, label) = Webhook::start(node, "sidecars", injected);
    let open = |name| Namespace::new(node, name, &["pod-security.kubernetes.io/enforce=restricted", &label]);
    let (runs_on, of_load, of_lab) = (open("sidecar-runs-on"), open("sidecar-of-load"), open("sidecar-of-lab"));
    for (ns, component) in [(&runs_on, "payment-service"), (&of_load, "load-job"), (&of_lab, "payment-service")] {
        await_admission(node, &probe(ns, component), SIDECAR);
    }
    pair(&runs_on, "  retain: Always\n");
    pair(&of_load, "  retain: Always\n");
    of_lab.apply(&experiment("shop", "  retain: Always\n"));
    for ns in [&runs_on, &of_load] {
        assert_verdicts(ns);
        let load = "--selector=app.kubernetes.io/component=load-job";
        let names = ns.kubectl(&["get", "pods", load, "--output=jsonpath={.items[*].spec.containers[*].name}"]);
        assert!(names.contains(SIDECAR), "the webhook has added it: {names}");
    }
    let status = of_lab.final_status("shop");
    let (phase, text) = match status["reason"].as_str() {
        // A container that runs for the first time cannot be told from one that goes on. If the load begins in that moment, the lab has changed.
        Some("EnvironmentChanged") => {
            let annotation = "--output=jsonpath={.metadata.annotations.paylab\\.dev/lab}";
            let lab: Value = serde_json::from_str(&of_lab.kubectl(&["get", "jobs/shop-load-job", annotation])).unwrap();
            assert!(lab["pods"].as_object().unwrap().values().all(|ends| *ends == 0), "after a restart: {lab}");
            ("Completed", "has ended: Error, exit code 3")
        }
        Some("CrashLoopBackOff") => ("Failed", "exits after every start: Error, exit code 3"),
        _ => panic!("{status:#}"),
    };
    assert_eq!(status["phase"], phase, "{status:#}");
    let told = message(&status);
    assert!(told.contains("container aaa-sidecar of pod shop-payment-service") && told.contains(text), "{told}");
}

fn limit_range(node: &Node) {
    let ns = Namespace::restricted(node, "limit-range");
    ns.apply(
        r#"{"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "house"}, "spec": {"limits": [{"type": "Container",
            "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "10m"}}]}}"#,
    );
    pair(&ns, "  retain: Always\n");
    assert_verdicts(&ns);
    let path = "--output=jsonpath={.items[0].spec.containers[0].resources.limits.cpu}";
    let load = "--selector=app.kubernetes.io/component=load-job";
    assert_eq!(ns.kubectl(&["get", "pods", load, path]), "500m", "the default was set");
}

fn taint(node: &Node) {
    let ns = Namespace::restricted(node, "tainted");
    let taint = |change: &str| node.kubectl(&["taint", "nodes", &node.name(), change]).unwrap();
    taint("team=other:NoSchedule");
    ns.apply(&experiment("waiting", "  payments: {count: 100}\n  expect: Violated\n  activeDeadline: 5m\n"));
    let status = ns.status_when("waiting", |status| message(status).contains("taint"));
    assert_eq!((&status["phase"], &status["message"].is_string()), (&json!("Preparing"), &true), "{status:#}");
    assert!(message(&status).contains("cannot be scheduled"), "{status:#}");
    // Both the operator's pod, which the upgrade replaces, and the parts of what begins afterwards tolerate it.
    let tolerated = [
        "tolerations[0].key=team,tolerations[0].operator=Exists",
        "parts.tolerations[0].key=team,parts.tolerations[0].operator=Exists",
    ];
    install_chart(node, "paylab", &[VALUES, &tolerated].concat()).unwrap();
    pair(&ns, "");
    assert_verdicts(&ns);
    assert!(ns.status("waiting")["completionTime"].is_null(), "the parts of before do not tolerate it");
    taint("team=other:NoSchedule-");
    let status = ns.final_status("waiting");
    assert_eq!(status["verdict"], json!("Violated"), "{status:#}");
    install_chart(node, "paylab", VALUES).unwrap();
}

/// The load goes on while nobody can write its progress down, and while nobody looks after its pods.
fn restarts(node: &Node) {
    let ns = Namespace::restricted(node, "restarts");
    let safe = "  client: {rate: 20, idempotencyKey: PerPayment}\n  service: {dedup: UniqueKey}\n";
    ns.apply(&experiment("safe", &format!("{safe}  payments: {{count: 1000}}\n")));
    ns.apply(&experiment("broken", "  expect: Violated\n  client: {rate: 20}\n  payments: {count: 1000}\n"));
    ns.status_under_load("safe");
    ns.status_under_load("broken");
    node.restart(Component::ApiServer, DOWN_FOR).unwrap();
    for name in ["safe", "broken"] {
        assert!(ns.status(name)["completionTime"].is_null(), "{name} has ended before the second restart");
    }
    node.restart(Component::Kubelet, DOWN_FOR).unwrap();
    // The operator hears of what is new as soon as the API server has answered again.
    ns.apply(&experiment("next", "  expect: Violated\n  payments: {count: 100}\n"));
    eventually("a new experiment", HEARD_WITHIN, || {
        ensure!(ns.status("next")["phase"].is_string(), "the operator has not heard of it");
        Ok(())
    })
    .unwrap();
    assert_verdicts(&ns);
    assert_eq!(ns.final_status("next")["verdict"], "Violated");
}
