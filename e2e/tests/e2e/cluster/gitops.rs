//! What Helm and Argo CD make of an experiment: `--wait` of Helm 3 and Helm 4, and the health that Argo CD's own code gives. Flux is tested with the
//! installations that watch one namespace.

use std::{fs, process::Command};

use paylab_e2e::Node;
use serde_json::Value;

use crate::support::{Namespace, Test, condition, experiment, message, root, slow_experiment};

pub(crate) const TESTS: &[Test] = &[
    ("helm_4_waits_for_a_verdict_and_helm_3_does_not", helm_waits),
    ("argo_cd_gives_the_health_of_the_verdict", argo_cd),
];

/// A claim that holds, with a load of some seconds, so that a test sees what tools say meanwhile.
const HOLDS: &str =
    "  client: {rate: 20, idempotencyKey: PerPayment}\n  service: {dedup: UniqueKey}\n  payments: {count: 200}\n";

/// The user's own chart contains an experiment.
fn helm_waits(node: &Node) {
    let ns = Namespace::restricted(node, "helm-wait");
    let chart = tempfile::tempdir().unwrap();
    fs::create_dir(chart.path().join("templates")).unwrap();
    fs::write(chart.path().join("Chart.yaml"), "apiVersion: v2\nname: shop\nversion: 0.1.0\n").unwrap();
    let install = |helm: fn(&Node, &[&str]) -> anyhow::Result<String>, name: &str, spec: &str| {
        fs::write(chart.path().join("templates/experiment.yaml"), experiment(name, spec)).unwrap();
        let path = chart.path().to_str().unwrap();
        helm(node, &["install", name, path, "--namespace", ns.name(), "--wait", "--timeout=2m"])
    };
    install(Node::helm3, "unwaited", HOLDS).unwrap();
    let status = ns.status("unwaited");
    assert!(status["completionTime"].is_null(), "Helm 3 looks at experiments: {status:#}");
    install(Node::helm, "waited", HOLDS).unwrap();
    let status = ns.status("waited");
    assert_eq!(condition(&status, "Verified"), Some("True"), "{}", message(&status));
    let error = install(Node::helm, "violated", "  payments: {count: 100}\n").unwrap_err().to_string();
    let status = ns.status("violated");
    assert_eq!(
        (status["verdict"].as_str(), condition(&status, "Stalled")),
        (Some("Violated"), Some("True")),
        "{error}"
    );
    assert!(error.contains("violated"), "{error}");
}

/// Before and after the ConfigMap of Argo CD has the check, by the command in docs/kubernetes.md.
fn argo_cd(node: &Node) {
    let ns = Namespace::restricted(node, "argocd");
    let program = node.gitops_programs().unwrap().join("argocd-health");
    // As Argo CD's installation creates it.
    ns.apply(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: argocd-cm, labels: {app.kubernetes.io/name: argocd-cm, \
         app.kubernetes.io/part-of: argocd}}\n",
    );
    let health = |resource: &str| node.run(&program, &[ns.name()], resource).unwrap();
    let resource = |name: &str| ns.kubectl(&["get", "payx", name, "--output=json"]);
    ns.apply(&slow_experiment("upheld", ""));
    ns.apply(&experiment("violated", "  payments: {count: 100}\n"));
    ns.apply(&experiment("as-expected", "  expect: Violated\n  payments: {count: 100}\n"));
    ns.kubectl(&["create", "configmap", "failed-plan"]);
    ns.apply(&experiment("failed", ""));
    assert_eq!(health(&resource("upheld")), "", "Argo CD knows experiments by itself");
    run_documented_command(node);
    ns.status_under_load("upheld");
    assert_eq!(health(&resource("upheld")), "Progressing: the load is running\n");
    for (name, expected) in
        [("violated", "Degraded: VIOLATED"), ("as-expected", "Healthy: VIOLATED"), ("upheld", "Healthy: UPHELD")]
    {
        ns.final_status(name);
        let seen = health(&resource(name));
        assert!(seen.starts_with(expected), "{seen}, not {expected}");
    }
    // An operator has looked at the generation before.
    let mut changed: Value = serde_json::from_str(&resource("upheld")).unwrap();
    changed["metadata"]["generation"] = 2.into();
    assert_eq!(health(&changed.to_string()), "Progressing: No operator has looked at this experiment yet.\n");
    ns.final_status("failed");
    let seen = health(&resource("failed"));
    assert!(seen.starts_with("Degraded: FAILED"), "{seen}");
}

/// The command that gives Argo CD the check.
fn run_documented_command(node: &Node) {
    let documentation = fs::read_to_string(root().join("docs/kubernetes.md")).unwrap();
    let (_, rest) = documentation.split_once("To give Argo CD the check").unwrap();
    let command = rest.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0;
    let path = format!("{}:/usr/bin:/bin", node.kubectl_program().parent().unwrap().display());
    let mut shell = Command::new("sh");
    shell.args(["-euc", command]).current_dir(root()).env("PATH", path).env("KUBECONFIG", node.kubeconfig());
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}
