//! What goes wrong on a cluster: each ends in bounded time, with the real reason in the message, and never with a verdict that
//! the evidence does not bear.

use std::{fs, io::Write as _};

use paylab_e2e::Node;
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};

use crate::support::{Namespace, Test, condition, experiment, message, slow};

pub(crate) const TESTS: &[Test] = &[
    ("a_service_that_never_gets_ready_fails_with_its_last_words", unready_service),
    ("a_secret_that_is_missing_is_named", missing_secret),
    ("a_quota_that_allows_no_pods_is_named", quota),
    ("a_name_that_is_taken_is_not_taken_over", taken_name),
    ("a_load_pod_that_is_killed_has_left_no_report", killed_load),
    ("a_load_pod_that_is_deleted_makes_the_verdict_inconclusive", deleted_load),
    ("a_load_pod_that_is_evicted_makes_the_verdict_inconclusive", evicted_load),
    ("a_service_pod_that_is_deleted_proves_nothing_about_the_path", deleted_service),
    ("a_proxy_that_is_killed_makes_the_verdict_inconclusive", killed_proxy),
    ("a_deadline_ends_the_load_and_says_so", deadline),
    ("a_job_that_is_deleted_is_not_made_again", deleted_job),
];

/// It never began: no verdict, and the reason.
fn assert_failed(status: &Value, reason: &str, told: &str) {
    assert_eq!((status["phase"].as_str(), status["reason"].as_str()), (Some("Failed"), Some(reason)), "{status:#}");
    assert!(status["verdict"].is_null() && message(status).contains(told), "{status:#}");
    assert_stalled(status);
}

/// It began and cannot be judged.
fn assert_inconclusive(status: &Value, reason: &str, told: &str) {
    assert_eq!(
        (status["verdict"].as_str(), status["reason"].as_str()),
        (Some("Inconclusive"), Some(reason)),
        "{status:#}"
    );
    assert!(message(status).contains(told), "{told}: {}", message(status));
    assert_stalled(status);
}

fn assert_stalled(status: &Value) {
    let conditions = ["Verified", "Ready", "Stalled"].map(|kind| condition(status, kind));
    assert_eq!(conditions, [Some("False"), Some("False"), Some("True")], "{status:#}");
}

/// The name of a part's pod.
fn pod(ns: &Namespace<'_>, part: &str) -> String {
    let selector = format!("--selector=app.kubernetes.io/component={part}");
    ns.kubectl(&["get", "pods", &selector, "--output=jsonpath={.items[0].metadata.name}"])
}

fn database(ns: &Namespace<'_>, url: &str) -> &'static str {
    ns.kubectl(&["create", "secret", "generic", "ledger", &format!("--from-literal=url={url}")]);
    "  service: {database: {secretKeyRef: {name: ledger, key: url}}}\n  activeDeadline: 15s\n"
}

fn unready_service(node: &Node) {
    let ns = Namespace::restricted(node, "unready");
    let spec = database(&ns, "postgres://nobody@127.0.0.1:1/nothing");
    ns.apply(&experiment("unready", spec));
    assert_failed(&ns.ended("unready"), "CrashLoopBackOff", "database");
    assert!(ns.left().contains("deployment"), "what has failed is kept to be looked at");
}

fn missing_secret(node: &Node) {
    let ns = Namespace::restricted(node, "secretless");
    let spec = "  service: {database: {secretKeyRef: {name: absent, key: url}}}\n  activeDeadline: 15s\n";
    ns.apply(&experiment("secretless", spec));
    let status = ns.ended("secretless");
    assert_failed(&status, "CreateContainerConfigError", "secret \"absent\" not found");
}

fn quota(node: &Node) {
    let ns = Namespace::restricted(node, "quota");
    ns.kubectl(&["create", "quota", "none", "--hard=pods=0"]);
    ns.apply(&experiment("quota", "  activeDeadline: 15s\n"));
    assert_failed(&ns.ended("quota"), "FailedCreate", "exceeded quota: none");
}

fn taken_name(node: &Node) {
    let ns = Namespace::restricted(node, "taken");
    ns.kubectl(&["create", "service", "clusterip", "shop-reset-proxy", "--tcp=80:80"]);
    ns.apply(&experiment("shop", ""));
    assert_failed(&ns.ended("shop"), "NameTaken", "a Service named shop-reset-proxy is already there");
    let owners = ns.kubectl(&["get", "service/shop-reset-proxy", "--output=jsonpath={.metadata.ownerReferences}"]);
    assert_eq!(owners, "");
}

fn killed_load(node: &Node) {
    let ns = Namespace::restricted(node, "speechless");
    ns.apply(&slow("slow", ""));
    ns.under_way("slow");
    kill(&ns, "load-job");
    assert_inconclusive(&ns.ended("slow"), "ReportMissing", "has ended: Error, exit code 137");
}

fn deleted_load(node: &Node) {
    let ns = Namespace::restricted(node, "loadless");
    ns.apply(&slow("slow", ""));
    ns.under_way("slow");
    ns.kubectl(&["delete", "pod", &pod(&ns, "load-job"), "--grace-period=0", "--force"]);
    // It may still say its last words, that it was told to stop, or be gone before.
    let status = ns.ended("slow");
    let (reason, told) = match status["reason"].as_str() {
        Some("LoadStopped") => ("LoadStopped", "the load was told to stop"),
        _ => ("ReportMissing", "load pods"),
    };
    assert_inconclusive(&status, reason, told);
    let pods = ns.kubectl(&["get", "pods", "--selector=app.kubernetes.io/component=load-job", "--output=name"]);
    assert!(pods.lines().count() <= 1, "nobody but the client may retry: {pods}");
}

fn evicted_load(node: &Node) {
    let ns = Namespace::restricted(node, "evicted");
    ns.apply(&slow("slow", ""));
    ns.under_way("slow");
    let pod = pod(&ns, "load-job");
    let eviction =
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": ns.name()}});
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(eviction.to_string().as_bytes()).unwrap();
    let path = format!("/api/v1/namespaces/{}/pods/{pod}/eviction", ns.name());
    ns.kubectl(&["create", "--raw", &path, "--filename", file.path().to_str().unwrap()]);
    // Told to stop, the load ends early, gathers its evidence and reports.
    assert_inconclusive(&ns.ended("slow"), "LoadStopped", "the load was told to stop");
}

fn deleted_service(node: &Node) {
    let ns = Namespace::restricted(node, "ledgerless");
    ns.apply(&slow("slow", ""));
    ns.under_way("slow");
    ns.kubectl(&["delete", "pod", &pod(&ns, "payment-service"), "--grace-period=1", "--wait=false"]);
    // The new pod has an empty ledger. Whatever the load makes of that, it is the lab's doing.
    let status = ns.ended("slow");
    assert_inconclusive(&status, "EnvironmentChanged", "a pod of payment-service or reset-proxy was deleted");
    assert!(status["observed"].is_null(), "{status:#}");
}

fn killed_proxy(node: &Node) {
    let ns = Namespace::restricted(node, "proxyless");
    ns.apply(&slow("slow", ""));
    ns.under_way("slow");
    kill(&ns, "reset-proxy");
    assert_inconclusive(&ns.ended("slow"), "EnvironmentChanged", "was started anew: Error, exit code 137");
}

/// Kills the program of a part's pod, as the kernel does when memory runs out.
fn kill(ns: &Namespace<'_>, part: &str) {
    let uid = ns.kubectl(&["get", "pod", &pod(ns, part), "--output=jsonpath={.metadata.uid}"]);
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let of_pod = processes.filter(|process| {
        let told = |file: &str| fs::read_to_string(process.path().join(file)).unwrap_or_default();
        told("cgroup").contains(&uid) && told("cmdline").starts_with(&format!("/paylab\0{part}\0"))
    });
    let pids: Vec<i32> = of_pod.filter_map(|process| process.file_name().to_str()?.parse().ok()).collect();
    assert_eq!(pids.len(), 1, "the pod {uid} has one program");
    rustix::process::kill_process(Pid::from_raw(pids[0]).unwrap(), Signal::KILL).unwrap();
}

fn deadline(node: &Node) {
    let ns = Namespace::restricted(node, "deadline");
    ns.apply(&slow("slow", "  activeDeadline: 20s\n"));
    assert_inconclusive(&ns.ended("slow"), "LoadStopped", "spec.activeDeadline");
}

fn deleted_job(node: &Node) {
    let ns = Namespace::restricted(node, "jobless");
    ns.apply(&slow("slow", ""));
    ns.under_way("slow");
    ns.kubectl(&["delete", "jobs/slow-load-job", "--wait=false"]);
    let status = ns.ended("slow");
    assert_inconclusive(&status, "EnvironmentChanged", "the load's Job was deleted");
    assert!(!ns.left().contains("job.batch"), "{}", ns.left());
}
