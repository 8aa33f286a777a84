//! The chart as a user handles it: the demo's own steps, its test, an upgrade under a kept experiment, and the end.

use std::{collections::BTreeSet, process::Command};

use anyhow::{bail, ensure};
use paylab_e2e::{Node, eventually};

use crate::support::{END_WITHIN, IMAGE, Namespace, Test, condition, experiment, install, message, root};

/// One after the other, in this order, when nothing else runs.
pub(crate) const TESTS: &[Test] = &[
    ("helm_test_demands_a_verdict", helm_test),
    ("the_steps_of_the_kind_demo_print_the_totals", demo),
    ("the_operator_counts_what_its_experiments_found", metrics),
    ("an_experiment_of_the_former_revision_survives_an_upgrade", upgrade),
    ("two_operators_elect_one_and_another_takes_over", election),
    ("what_is_uninstalled_leaves_the_experiments", uninstall),
];

fn helm_test(node: &Node) {
    let said = node.helm(&["test", "paylab", "--namespace=paylab", "--timeout=3m"]).unwrap();
    assert!(said.contains("Succeeded"), "{said}");
    let left = node.kubectl(&[
        "get",
        "payx,pods",
        "--selector=app.kubernetes.io/component=test",
        "-n",
        "paylab",
        "--output=name",
    ]);
    assert_eq!(left.unwrap(), "");
}

/// Everything of `make kind-demo` but kind and Docker.
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

/// As Prometheus and the kubelet ask for it.
fn metrics(node: &Node) {
    let ns = Namespace::restricted(node, "metrics");
    let ask = |path: &str| {
        let path = format!("/api/v1/namespaces/paylab/services/paylab:metrics/proxy{path}");
        node.kubectl(&["get", "--raw", &path]).unwrap()
    };
    let value = |metric: &str| -> f64 {
        let text = ask("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' ').map(str::to_owned));
        line.map_or(0.0, |value| value.parse().unwrap())
    };
    assert_eq!((ask("/healthz").as_str(), ask("/readyz").as_str()), ("ok", "ok"));
    let violated = r#"paylab_experiments{phase="Completed",verdict="Violated"}"#;
    let (duplicated_before, violated_before) = (value("paylab_payments_duplicated_total"), value(violated));
    ns.apply(&experiment("counted", "  expect: Violated\n"));
    ns.ended("counted");
    assert_eq!(value("paylab_payments_duplicated_total") - duplicated_before, 329.0);
    assert_eq!(value(violated) - violated_before, 1.0);
    assert_eq!((value("paylab_leader"), value("paylab_reconcile_errors_total")), (1.0, 0.0));
    assert!(value("paylab_reconcile_duration_seconds_count") == value("paylab_reconciles_total"));
    ns.kubectl(&["delete", "payx", "counted"]);
    let forgotten = eventually("the experiment is forgotten", END_WITHIN, || {
        ensure!(value(violated) == violated_before, "{}", value(violated));
        Ok(())
    });
    forgotten.unwrap();
}

fn upgrade(node: &Node) {
    let ns = Namespace::restricted(node, "upgrade");
    ns.apply(&experiment("kept", "  expect: Violated\n  retain: Always\n"));
    let before = ns.ended("kept");
    install(node, "paylab", &["log.format=json", "metrics.serviceMonitor.enabled=false"]).unwrap();
    // The new operator has looked at it when it has run another one after it.
    ns.apply(&experiment("next", "  expect: Violated\n  payments: {count: 100}\n"));
    ns.ended("next");
    assert_eq!(ns.status("kept"), before);
}

fn election(node: &Node) {
    let audit = node.audit().unwrap();
    install(node, "paylab", &["replicaCount=2"]).unwrap();
    let holder = || {
        let told =
            node.kubectl(&["get", "lease", "paylab", "-n", "paylab", "--output=jsonpath={.spec.holderIdentity}"]);
        told.unwrap_or_default()
    };
    let first = eventually("a leader", END_WITHIN, || match holder() {
        nobody if nobody.is_empty() => bail!("nobody leads"),
        somebody => Ok(somebody),
    })
    .unwrap();
    node.kubectl(&["delete", "pod", &first, "-n", "paylab", "--grace-period=0", "--force"]).unwrap();
    let ns = Namespace::restricted(node, "election");
    ns.apply(&experiment("led", "  expect: Violated\n"));
    let status = ns.ended("led");
    assert_eq!(condition(&status, "Verified"), Some("True"), "{}", message(&status));
    assert_ne!(holder(), first);
    // The Role of the election has these verbs and no others.
    let requests = audit.requests().unwrap();
    let asked = requests.iter().filter(|request| request.resource == "leases" && request.user.ends_with(":paylab"));
    let used: BTreeSet<_> = asked.map(|request| request.verb.as_str()).collect();
    assert_eq!(used, ["create", "get", "patch"].into());
}

fn uninstall(node: &Node) {
    let ns = Namespace::restricted(node, "uninstall");
    ns.apply(&experiment("kept", "  expect: Violated\n  retain: Always\n"));
    let before = ns.ended("kept");
    let whole = Namespace::restricted(node, "uninstall-whole");
    whole.apply(&experiment("kept", "  expect: Violated\n  retain: Always\n"));
    whole.ended("kept");
    node.helm(&["uninstall", "paylab", "--namespace=paylab", "--wait"]).unwrap();
    assert_eq!(ns.status("kept"), before);
    // With the operator down, what is deleted takes its parts along all the same.
    ns.kubectl(&["delete", "payx", "kept"]);
    ns.assert_bare();
    node.kubectl(&["delete", "namespace", whole.name(), "--timeout=90s"]).unwrap();
    install(node, "paylab", &[]).unwrap();
    ns.apply(&experiment("after", "  expect: Violated\n"));
    assert_eq!(condition(&ns.ended("after"), "Verified"), Some("True"));
}
