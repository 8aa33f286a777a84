//! Tests of failures on a cluster. Each experiment ends in bounded time, its message has the real reason, and it has no verdict
//! that the evidence does not support.

use std::{fs, io::Write as _};

use paylab_e2e::Node;
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};

use crate::support::{Namespace, Test, await_admission, condition, experiment, message, probe, slow_experiment};

pub(crate) const TESTS: &[Test] = &[
    ("a_service_that_never_gets_ready_fails_with_its_termination_message", unready_service),
    ("a_secret_that_is_missing_is_named", missing_secret),
    ("a_quota_that_allows_no_pods_is_named", quota),
    ("a_foreign_object_with_the_name_of_a_lab_object_is_left_unchanged", taken_name),
    ("a_load_pod_that_is_killed_makes_the_verdict_inconclusive", killed_load),
    ("a_load_pod_that_is_deleted_makes_the_verdict_inconclusive", deleted_load),
    ("a_load_pod_that_is_evicted_makes_the_verdict_inconclusive", evicted_load),
    ("a_service_pod_that_is_deleted_makes_the_verdict_inconclusive", deleted_service),
    ("a_proxy_that_is_killed_makes_the_verdict_inconclusive", killed_proxy),
    ("a_deadline_ends_the_load_and_is_named", deadline),
    ("a_job_that_is_deleted_is_not_created_again", deleted_job),
];

/// The load never began: there is no verdict, and the message contains `text`.
fn assert_failed(status: &Value, reason: &str, text: &str) {
    assert_eq!((status["phase"].as_str(), status["reason"].as_str()), (Some("Failed"), Some(reason)), "{status:#}");
    assert!(status["verdict"].is_null() && message(status).contains(text), "{status:#}");
    assert_stalled(status);
}

/// The load began, but the evidence is void, and the message contains `text`.
pub(super) fn assert_inconclusive(status: &Value, reason: &str, text: &str) {
    assert_eq!(
        (status["verdict"].as_str(), status["reason"].as_str()),
        (Some("Inconclusive"), Some(reason)),
        "{status:#}"
    );
    assert!(message(status).contains(text), "{text}: {}", message(status));
    assert_stalled(status);
}

fn assert_stalled(status: &Value) {
    let conditions = ["Verified", "Ready", "Stalled"].map(|kind| condition(status, kind));
    assert_eq!(conditions, [Some("False"), Some("False"), Some("True")], "{status:#}");
}

/// The name of the pod of a component.
fn pod(ns: &Namespace<'_>, component: &str) -> String {
    let selector = format!("--selector=app.kubernetes.io/component={component}");
    ns.kubectl(&["get", "pods", &selector, "--output=jsonpath={.items[0].metadata.name}"])
}

/// Creates a Secret with a database URL, and returns the fields of the spec that refer to it.
fn database(ns: &Namespace<'_>, url: &str) -> &'static str {
    ns.kubectl(&["create", "secret", "generic", "ledger", &format!("--from-literal=url={url}")]);
    "  service: {database: {secretKeyRef: {name: ledger, key: url}}}\n  activeDeadline: 60s\n"
}

fn unready_service(node: &Node) {
    let ns = Namespace::restricted(node, "unready");
    let spec = database(&ns, "postgres://nobody@127.0.0.1:1/nothing");
    ns.apply(&experiment("unready", spec));
    assert_failed(&ns.final_status("unready"), "CrashLoopBackOff", "database");
    assert!(ns.lab_objects().contains("deployment"), "the lab of a failed experiment is kept for inspection");
}

fn missing_secret(node: &Node) {
    let ns = Namespace::restricted(node, "secretless");
    let spec = "  service: {database: {secretKeyRef: {name: absent, key: url}}}\n  activeDeadline: 15s\n";
    ns.apply(&experiment("secretless", spec));
    let status = ns.final_status("secretless");
    assert_failed(&status, "CreateContainerConfigError", "secret \"absent\" not found");
}

fn quota(node: &Node) {
    let ns = Namespace::restricted(node, "quota");
    ns.kubectl(&["create", "quota", "none", "--hard=pods=0"]);
    await_admission(node, &probe(&ns, "none"), "exceeded quota: none");
    ns.apply(&experiment("quota", "  activeDeadline: 15s\n"));
    assert_failed(&ns.final_status("quota"), "FailedCreate", "exceeded quota: none");
}

fn taken_name(node: &Node) {
    let ns = Namespace::restricted(node, "taken");
    ns.kubectl(&["create", "service", "clusterip", "shop-payment-service", "--tcp=80:80"]);
    ns.apply(&experiment("shop", ""));
    assert_failed(&ns.final_status("shop"), "NameTaken", "a Service named shop-payment-service already exists");
    let owners = ns.kubectl(&["get", "service/shop-payment-service", "--output=jsonpath={.metadata.ownerReferences}"]);
    assert_eq!(owners, "");
}

fn killed_load(node: &Node) {
    let ns = Namespace::restricted(node, "speechless");
    ns.apply(&slow_experiment("slow", ""));
    ns.status_under_load("slow");
    kill(&ns, "load-job");
    assert_inconclusive(&ns.final_status("slow"), "ReportMissing", "has ended: Error, exit code 137");
}

fn deleted_load(node: &Node) {
    let ns = Namespace::restricted(node, "loadless");
    ns.apply(&slow_experiment("slow", ""));
    ns.status_under_load("slow");
    ns.kubectl(&["delete", "pod", &pod(&ns, "load-job"), "--grace-period=0", "--force"]);
    assert_told_to_stop_or_gone(&ns.final_status("slow"));
    let pods = ns.kubectl(&["get", "pods", "--selector=app.kubernetes.io/component=load-job", "--output=name"]);
    assert!(pods.lines().count() <= 1, "no new load pod may be created: {pods}");
}

fn evicted_load(node: &Node) {
    let ns = Namespace::restricted(node, "evicted");
    ns.apply(&slow_experiment("slow", ""));
    ns.status_under_load("slow");
    let pod = pod(&ns, "load-job");
    let eviction =
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": ns.name()}});
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(eviction.to_string().as_bytes()).unwrap();
    let path = format!("/api/v1/namespaces/{}/pods/{pod}/eviction", ns.name());
    ns.kubectl(&["create", "--raw", &path, "--filename", file.path().to_str().unwrap()]);
    assert_told_to_stop_or_gone(&ns.final_status("slow"));
}

/// When a load is told to stop, it ends early, gathers its evidence and reports, unless its pod is removed before.
fn assert_told_to_stop_or_gone(status: &Value) {
    let (reason, text) = match status["reason"].as_str() {
        Some("LoadStopped") => ("LoadStopped", "the load was told to stop"),
        _ => ("ReportMissing", "of the workers"),
    };
    assert_inconclusive(status, reason, text);
}

fn deleted_service(node: &Node) {
    let ns = Namespace::restricted(node, "ledgerless");
    ns.apply(&slow_experiment("slow", ""));
    ns.status_under_load("slow");
    ns.kubectl(&["delete", "pod", &pod(&ns, "payment-service"), "--grace-period=1", "--wait=false"]);
    // The new pod has an empty ledger. Whatever the load finds in it, the lab is the cause.
    let status = ns.final_status("slow");
    assert_inconclusive(&status, "EnvironmentChanged", "a pod of the service or of the proxy was deleted");
    assert!(status["observed"].is_null(), "{status:#}");
}

fn killed_proxy(node: &Node) {
    let ns = Namespace::restricted(node, "proxyless");
    ns.apply(&slow_experiment("slow", ""));
    ns.status_under_load("slow");
    kill(&ns, "reset-proxy");
    assert_inconclusive(&ns.final_status("slow"), "EnvironmentChanged", "has ended: Error, exit code 137");
}

/// Kills the process of a component's pod with SIGKILL, as the kernel does when memory runs out.
fn kill(ns: &Namespace<'_>, component: &str) {
    let uid = ns.kubectl(&["get", "pod", &pod(ns, component), "--output=jsonpath={.metadata.uid}"]);
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let of_pod = processes.filter(|process| {
        let read = |file: &str| fs::read_to_string(process.path().join(file)).unwrap_or_default();
        read("cgroup").contains(&uid) && read("cmdline").starts_with(&format!("/paylab\0{component}\0"))
    });
    let pids: Vec<i32> = of_pod.filter_map(|process| process.file_name().to_str()?.parse().ok()).collect();
    assert_eq!(pids.len(), 1, "the pod {uid} has one process of {component}");
    rustix::process::kill_process(Pid::from_raw(pids[0]).unwrap(), Signal::KILL).unwrap();
}

fn deadline(node: &Node) {
    let ns = Namespace::restricted(node, "deadline");
    let spec = "  activeDeadline: 45s\n";
    ns.apply(&slow_experiment("slow", spec).replace("payments: {count: 600}", "payments: {count: 2400}"));
    assert_inconclusive(&ns.final_status("slow"), "LoadStopped", "spec.activeDeadline");
}

fn deleted_job(node: &Node) {
    let ns = Namespace::restricted(node, "jobless");
    ns.apply(&slow_experiment("slow", ""));
    ns.status_under_load("slow");
    ns.kubectl(&["delete", "jobs/slow-load-job", "--wait=false"]);
    let status = ns.final_status("slow");
    assert_inconclusive(&status, "EnvironmentChanged", "the load's Job was deleted");
    assert!(!ns.lab_objects().contains("job.batch"), "{}", ns.lab_objects());
}
