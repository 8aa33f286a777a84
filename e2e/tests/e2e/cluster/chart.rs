//! Tests of the chart: `helm test`, the steps of the demo, metrics, upgrade, leader election and uninstallation.

use std::{collections::BTreeSet, process::Command};

use anyhow::{bail, ensure};
use paylab_e2e::{Node, eventually};

use crate::support::{COMPLETED_WITHIN, IMAGE, Namespace, Test, condition, experiment, install_chart, message, root};

/// These run one after another, in this order, while no other test runs.
pub(crate) const TESTS: &[Test] = &[
    ("helm_test_waits_for_a_verdict", helm_test),
    ("the_steps_of_the_kind_demo_print_the_totals", demo),
    ("the_operator_exports_the_totals_of_its_experiments", metrics),
    ("an_upgrade_keeps_completed_experiments", upgrade),
    ("another_operator_takes_over_when_the_leader_is_killed", election),
    ("uninstalling_keeps_the_experiments", uninstall),
];

fn helm_test(node: &Node) {
    let output = node.helm(&["test", "paylab", "--namespace=paylab", "--timeout=3m"]).unwrap();
    assert!(output.contains("Succeeded"), "{output}");
    let remaining = node.kubectl(&[
        "get",
        "payx,pods",
        "--selector=app.kubernetes.io/component=test",
        "-n",
        "paylab",
        "--output=name",
    ]);
    assert_eq!(remaining.unwrap(), "");
}

/// Runs the steps of `make kind-demo` that need neither kind nor Docker.
fn demo(node: &Node) {
    let (helm, kubectl) = (node.helm_program(), node.kubectl_program());
    let output = Command::new(root().join("demo/kind"))
        .args(["install", "try"])
        .env("KUBECONFIG", node.kubeconfig())
        .env("KUBE_CONTEXT", "")
        .env("IMAGE", format!("{}:{}", IMAGE.0, IMAGE.1))
        .env("HELM", helm)
        .env("KUBECTL", kubectl)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    let row = printed.lines().find(|line| line.starts_with("never-pay-too-little   Completed"));
    let columns: Vec<_> = row.unwrap_or_else(|| panic!("{printed}")).split_whitespace().collect();
    assert_eq!(
        columns[..8],
        ["never-pay-too-little", "Completed", "ExactlyOnce", "Violated", "1000.00", "1455.00", "0", "329"]
    );
    assert!(printed.contains("VIOLATED ExactlyOnce: 329 of 1000 payments"), "{printed}");
}

/// Reads the metrics and the health endpoints through the API server's proxy.
fn metrics(node: &Node) {
    let ns = Namespace::restricted(node, "metrics");
    let get = |path: &str| {
        let path = format!("/api/v1/namespaces/paylab/services/paylab:metrics/proxy{path}");
        node.kubectl(&["get", "--raw", &path]).unwrap()
    };
    let value_in = |text: &str, metric: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' ').map(str::to_owned));
        line.map_or(0.0, |value| value.parse().unwrap())
    };
    let value = |metric: &str| value_in(&get("/metrics"), metric);
    assert_eq!((get("/healthz").as_str(), get("/readyz").as_str()), ("ok", "ok"));
    let violated = r#"paylab_experiments{phase="Completed",verdict="Violated"}"#;
    let (duplicated_before, violated_before) = (value("paylab_payments_duplicated_total"), value(violated));
    // Those of other tests, whose experiments are deleted while they run.
    let errors_before = value("paylab_reconcile_errors_total");
    ns.apply(&experiment("counted", "  expect: Violated\n  client: {retry: {attemptTimeout: 30s}}\n"));
    ns.final_status("counted");
    assert_eq!(value("paylab_payments_duplicated_total") - duplicated_before, 329.0);
    assert_eq!(value(violated) - violated_before, 1.0);
    assert_eq!((value("paylab_leader"), value("paylab_reconcile_errors_total")), (1.0, errors_before));
    // Of one scrape: between two, the operator may have reconciled once more.
    let scrape = get("/metrics");
    let [count, total] =
        ["paylab_reconcile_duration_seconds_count", "paylab_reconciles_total"].map(|metric| value_in(&scrape, metric));
    assert!(count == total && total > 0.0, "{count} durations of {total} reconciles");
    ns.kubectl(&["delete", "payx", "counted"]);
    let removed = eventually("removal of the experiment from the metrics", COMPLETED_WITHIN, || {
        ensure!(value(violated) == violated_before, "{}", value(violated));
        Ok(())
    });
    removed.unwrap();
}

fn upgrade(node: &Node) {
    let ns = Namespace::restricted(node, "upgrade");
    ns.apply(&experiment("kept", "  expect: Violated\n  retain: Always\n"));
    let before = ns.final_status("kept");
    install_chart(node, "paylab", &["log.format=json", "metrics.serviceMonitor.enabled=false"]).unwrap();
    // When the new operator has completed another experiment, it has also reconciled the first one.
    ns.apply(&experiment("next", "  expect: Violated\n  payments: {count: 100}\n"));
    ns.final_status("next");
    assert_eq!(ns.status("kept"), before);
}

fn election(node: &Node) {
    let audit_log = node.audit_log_from_now().unwrap();
    install_chart(node, "paylab", &["replicaCount=2"]).unwrap();
    let holder = || {
        let name =
            node.kubectl(&["get", "lease", "paylab", "-n", "paylab", "--output=jsonpath={.spec.holderIdentity}"]);
        name.unwrap_or_default()
    };
    let first = eventually("a leader", COMPLETED_WITHIN, || match holder() {
        name if name.is_empty() => bail!("the lease has no holder"),
        name => Ok(name),
    })
    .unwrap();
    node.kubectl(&["delete", "pod", &first, "-n", "paylab", "--grace-period=0", "--force"]).unwrap();
    let ns = Namespace::restricted(node, "election");
    ns.apply(&experiment("led", "  expect: Violated\n"));
    let status = ns.final_status("led");
    assert_eq!(condition(&status, "Verified"), Some("True"), "{}", message(&status));
    assert_ne!(holder(), first);
    // The Role of the leader election grants exactly these verbs.
    let requests = audit_log.requests().unwrap();
    let lease_requests =
        requests.iter().filter(|request| request.resource == "leases" && request.user.ends_with(":paylab"));
    let used: BTreeSet<_> = lease_requests.map(|request| request.verb.as_str()).collect();
    assert_eq!(used, ["create", "get", "patch"].into());
}

fn uninstall(node: &Node) {
    let ns = Namespace::restricted(node, "uninstall");
    ns.apply(&experiment("kept", "  expect: Violated\n  retain: Always\n"));
    let before = ns.final_status("kept");
    let whole = Namespace::restricted(node, "uninstall-whole");
    whole.apply(&experiment("kept", "  expect: Violated\n  retain: Always\n"));
    whole.final_status("kept");
    node.helm(&["uninstall", "paylab", "--namespace=paylab", "--wait"]).unwrap();
    assert_eq!(ns.status("kept"), before);
    // Without an operator, the garbage collector still deletes the objects of a deleted experiment.
    ns.kubectl(&["delete", "payx", "kept"]);
    ns.wait_until_no_lab_objects();
    node.kubectl(&["delete", "namespace", whole.name(), "--timeout=90s"]).unwrap();
    install_chart(node, "paylab", &[]).unwrap();
    ns.apply(&experiment("after", "  expect: Violated\n"));
    assert_eq!(condition(&ns.final_status("after"), "Verified"), Some("True"));
}
