//! Tests of the node itself, on which the other tests rely. It must not know Paylab.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::ensure;
use paylab_e2e::{Node, eventually};

use crate::support::{Namespace, Test};

pub(crate) const TESTS: &[Test] = &[
    ("a_deployment_becomes_available", a_deployment_becomes_available),
    ("a_service_answers_another_pod_by_its_name", a_service_answers_another_pod_by_its_name),
    ("a_job_leaves_a_termination_message_and_a_log", a_job_leaves_a_termination_message_and_a_log),
    ("a_restricted_namespace_refuses_root_and_can_be_deleted", a_restricted_namespace_refuses_root_and_can_be_deleted),
    ("a_user_may_do_what_roles_allow_and_is_audited", a_user_may_do_what_roles_allow_and_is_audited),
    ("helm_reaches_the_api_server", helm_reaches_the_api_server),
    ("a_second_node_stops_with_its_process", a_second_node_stops_with_its_process),
];

const READY: &str = "--timeout=60s";
/// The time limit for effects that are not reported.
const VISIBLE_WITHIN: Duration = Duration::from_secs(20);

fn a_deployment_becomes_available(node: &Node) {
    let namespace = Namespace::new(node, "deployment", &[]);
    namespace.apply(&web(2));
    namespace.kubectl(&["wait", "--for=condition=Available", "deployment/web", READY]);
    let ready = namespace.kubectl(&["get", "deployment", "web", "--output=jsonpath={.status.readyReplicas}"]);
    assert_eq!(ready, "2");
}

fn a_service_answers_another_pod_by_its_name(node: &Node) {
    let namespace = Namespace::new(node, "service", &[]);
    namespace.apply(&web(1));
    namespace.kubectl(&["wait", "--for=condition=Available", "deployment/web", READY]);
    namespace.kubectl(&["expose", "deployment", "web", "--port=80", "--target-port=8080"]);
    // Retried, because the name and the forwarding rules appear without notice.
    let get = "until wget -q -O - http://web.service.svc.cluster.local; do :; done";
    namespace.apply(&job("get", get));
    namespace.kubectl(&["wait", "--for=condition=Complete", "job/get", READY]);
    assert_eq!(namespace.kubectl(&["logs", "job/get"]), "hello\n");
}

fn a_job_leaves_a_termination_message_and_a_log(node: &Node) {
    let namespace = Namespace::new(node, "job", &[]);
    namespace.apply(&job("tell", "echo to the log; echo -n to the status >/dev/termination-log"));
    namespace.kubectl(&["wait", "--for=condition=Complete", "job/tell", READY]);
    let message = "--output=jsonpath={.items[*].status.containerStatuses[*].state.terminated.message}";
    assert_eq!(namespace.kubectl(&["get", "pods", "--selector=job-name=tell", message]), "to the status");
    assert_eq!(namespace.kubectl(&["logs", "job/tell"]), "to the log\n");
}

fn a_restricted_namespace_refuses_root_and_can_be_deleted(node: &Node) {
    let namespace = Namespace::new(node, "restricted", &["pod-security.kubernetes.io/enforce=restricted"]);
    let root = r#"--overrides={"spec":{"securityContext":{"runAsUser":0}}}"#;
    let refused = namespace.try_kubectl(&["run", "root", "--image=registry.local/busybox:lab", root]).unwrap_err();
    assert!(refused.to_string().contains("violates PodSecurity"), "{refused}");
    namespace.apply(&job("wait", "exec sleep 600"));
    namespace.kubectl(&["wait", "--for=jsonpath={.status.ready}=1", "job/wait", READY]);
    node.kubectl(&["delete", "namespace", namespace.name(), READY]).unwrap();
}

fn a_user_may_do_what_roles_allow_and_is_audited(node: &Node) {
    let namespace = Namespace::new(node, "roles", &[]);
    let ann = node.kubeconfig_of("ann", &["tellers"]).unwrap();
    let ann = format!("--kubeconfig={}", ann.display());
    let audit_log = node.audit_log_from_now().unwrap();

    let refused = namespace.try_kubectl(&[&ann, "get", "pods"]).unwrap_err();
    assert!(refused.to_string().contains("Forbidden"), "{refused}");
    namespace.kubectl(&["create", "rolebinding", "tellers", "--clusterrole=view", "--group=tellers"]);
    // The API server applies a new binding after a short delay.
    eventually("permission to list pods", VISIBLE_WITHIN, || namespace.try_kubectl(&[&ann, "get", "pods"])).unwrap();

    eventually("both requests in the audit log", VISIBLE_WITHIN, || {
        let requests = audit_log.requests()?;
        let listed = |code| {
            move |request: &&paylab_e2e::AuditedRequest| {
                (request.user.as_str(), request.verb.as_str(), request.resource.as_str()) == ("ann", "list", "pods")
                    && request.namespace == "roles"
                    && request.code == code
            }
        };
        let allowed = requests.iter().filter(listed(200)).count();
        ensure!(requests.iter().any(|request| listed(403)(&request)), "not refused");
        ensure!(allowed == 1, "allowed {allowed} times");
        Ok(())
    })
    .unwrap();
}

fn helm_reaches_the_api_server(node: &Node) {
    assert_eq!(node.helm(&["list", "--output=json"]).unwrap().trim(), "[]");
}

fn a_second_node_stops_with_its_process(node: &Node) {
    let mut second =
        Command::new(env!("CARGO_BIN_EXE_paylab-e2e")).arg("up-api-server").stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(second.stdout.take().unwrap()).lines().map_while(Result::ok);
    let config = lines.filter_map(|line| line.strip_prefix("export KUBECONFIG=").map(str::to_owned)).next();
    let directory = Path::new(config.as_deref().unwrap()).parent().unwrap();
    let namespace = Path::new("/run/netns").join(format!("paylab-{}", directory.file_name().unwrap().display()));
    assert!(namespace.exists() && directory != node.directory());

    // A killed process cannot stop its node itself.
    second.kill().unwrap();
    second.wait().unwrap();
    eventually("removal of the second node", VISIBLE_WITHIN, || {
        ensure!(!namespace.exists(), "its network still exists");
        let files = fs::read_dir(directory)?.flatten().map(|entry| entry.file_name());
        let remaining: Vec<_> = files.filter(|name| !name.to_string_lossy().ends_with(".log")).collect();
        ensure!(remaining.is_empty(), "its files still exist: {remaining:?}");
        Ok(())
    })
    .unwrap();
}

/// A Deployment of pods that respond with `hello` at port 8080.
fn web(replicas: u8) -> String {
    let pod = pod("echo hello >/tmp/index.html; exec httpd -f -p 8080 -h /tmp");
    format!(
        r#"{{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {{"name": "web"}}, "spec": {{"replicas": {replicas},
        "selector": {{"matchLabels": {{"app": "web"}}}}, "template": {{"metadata": {{"labels": {{"app": "web"}}}}, "spec": {pod}}}}}}}"#
    )
}

/// A Job with one pod.
fn job(name: &str, script: &str) -> String {
    let pod = pod(script).replacen('{', r#"{"restartPolicy": "Never", "#, 1);
    format!(
        r#"{{"apiVersion": "batch/v1", "kind": "Job", "metadata": {{"name": "{name}"}}, "spec": {{"backoffLimit": 0, "template": {{"spec": {pod}}}}}}}"#
    )
}

/// The spec of a pod that Pod Security `restricted` allows.
fn pod(script: &str) -> String {
    format!(
        r#"{{"terminationGracePeriodSeconds": 0,
        "securityContext": {{"runAsNonRoot": true, "seccompProfile": {{"type": "RuntimeDefault"}}}},
        "containers": [{{"name": "main", "image": "registry.local/busybox:lab", "command": ["/paylab", "sh", "-c", "{script}"],
        "securityContext": {{"allowPrivilegeEscalation": false, "capabilities": {{"drop": ["ALL"]}}}}}}]}}"#
    )
}
