//! Tests of labs that are changed and of evidence that is forged while a load runs. No verdict may rest on what the lab itself, or
//! somebody with the right to edit the namespace, has caused.

use std::io::Write as _;

use paylab::{commands::run::measure, lab::Database};
use paylab_core::outcome::Setting;
use paylab_e2e::Node;
use paylab_resource::file;
use serde_json::{Value, json};

use super::failures::assert_inconclusive;
use crate::support::{Namespace, Test, condition, experiment, message, slow_experiment};

pub(crate) const TESTS: &[Test] = &[
    ("a_service_that_is_scaled_up_while_the_load_runs_makes_the_verdict_inconclusive", scaled_up),
    ("a_service_that_is_scaled_up_and_down_again_makes_the_verdict_inconclusive", scaled_up_and_down),
    ("a_forged_report_upholds_nothing", forged_report),
    ("a_job_whose_fingerprint_was_removed_makes_the_verdict_inconclusive", removed_fingerprint),
];

/// Scales the payment service of an experiment and waits until all its pods are ready.
fn scale(ns: &Namespace<'_>, experiment: &str, replicas: u8) {
    let deployment = format!("deployment/{experiment}-payment-service");
    ns.kubectl(&["scale", &deployment, &format!("--replicas={replicas}")]);
    ns.kubectl(&["rollout", "status", &deployment, "--timeout=60s"]);
}

/// Each pod has a ledger of its own, so payments that another pod has booked look lost.
fn scaled_up(node: &Node) {
    let ns = Namespace::restricted(node, "scaled-up");
    ns.apply(&slow_experiment("shop", ""));
    ns.status_under_load("shop");
    scale(&ns, "shop", 3);
    let status = ns.final_status("shop");
    assert_inconclusive(&status, "EnvironmentChanged", "the Deployment shop-payment-service was changed");
    assert!(status["observed"].is_null(), "{status:#}");
}

/// When the load has ended, the lab looks as it did at the beginning.
fn scaled_up_and_down(node: &Node) {
    let ns = Namespace::restricted(node, "scaled-back");
    ns.apply(&slow_experiment("shop", ""));
    ns.status_under_load("shop");
    scale(&ns, "shop", 2);
    scale(&ns, "shop", 1);
    let status = ns.final_status("shop");
    assert_inconclusive(&status, "EnvironmentChanged", "the Deployment shop-payment-service was changed");
}

/// An experiment that pays twice and whose load takes half a minute.
fn slow_double_payer(name: &str) -> String {
    experiment(name, "  expect: Violated\n  client: {rate: 20}\n  payments: {count: 600}\n")
}

fn forged_report(node: &Node) {
    let ns = Namespace::restricted(node, "forged");
    ns.apply(&slow_double_payer("shop"));
    let run_id = ns.status_under_load("shop")["runId"].as_str().unwrap().to_owned();
    let forged = forged_load_pod(&run_id, &report_of_a_path_that_holds(&run_id));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(forged.to_string().as_bytes()).unwrap();
    ns.kubectl(&["create", "--filename", file.path().to_str().unwrap()]);
    ns.kubectl(&["wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/forged", "--timeout=60s"]);
    let status = ns.final_status("shop");
    assert_eq!(status["verdict"], "Violated", "{}", message(&status));
    assert!(message(&status).contains("booked more than once"), "{}", message(&status));
    // The stranger is told.
    assert_eq!(condition(&status, "EnvironmentReady"), Some("False"), "{status:#}");
}

/// The report of a run of the same payments against a service that pays exactly once.
fn report_of_a_path_that_holds(run_id: &str) -> String {
    let spec = "  client: {idempotencyKey: PerPayment}\n  service: {dedup: UniqueKey}\n  payments: {count: 600}\n";
    let plan = file::parse(&experiment("honest", spec), 0).unwrap().plan;
    let mut report = measure(&plan, &Database::Temporary, Setting::default()).unwrap().report;
    report.run_id = run_id.to_owned();
    json!(report).to_string()
}

/// A pod with the labels of a load pod, which leaves this report as its termination message and belongs to nobody.
fn forged_load_pod(run_id: &str, report: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "forged", "labels": {
            "app.kubernetes.io/managed-by": "paylab",
            "app.kubernetes.io/component": "load-job",
            "paylab.dev/experiment": "shop",
            "paylab.dev/run-id": run_id,
            "batch.kubernetes.io/job-completion-index": "0",
        }},
        "spec": {
            "restartPolicy": "Never",
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "load-job",
                "image": "registry.local/busybox:lab",
                "command": ["/paylab", "sh", "-c", "echo -n \"$REPORT\" >/dev/termination-log"],
                "env": [{"name": "REPORT", "value": report}],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    })
}

fn removed_fingerprint(node: &Node) {
    let ns = Namespace::restricted(node, "fingerprintless");
    ns.apply(&slow_double_payer("shop"));
    ns.status_under_load("shop");
    ns.kubectl(&["annotate", "jobs/shop-load-job", "paylab.dev/lab-"]);
    let status = ns.final_status("shop");
    assert_inconclusive(&status, "EnvironmentChanged", "the annotation paylab.dev/lab is missing on the load's Job");
}
