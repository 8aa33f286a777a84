//! A node with the chart installed, and a run of an experiment on it. It must not know what is measured.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use paylab_e2e::{AuditLog, Node, NodeKind, eventually};

use super::timeline::{RequestCounts, Timeline};
use crate::process::memory_kib;

/// The repository and the tag of the image.
pub(super) const IMAGE: (&str, &str) = ("registry.local/paylab", "ci");
/// The resource and the file of the lesson.
const LESSON: (&str, &str) = ("payx/never-pay-too-little", include_str!("../../../examples/never-pay-too-little.yaml"));
/// The name of the chart's release and of its namespace.
const RELEASE: &str = "paylab";
/// Selects the pods of the operator.
const OPERATOR_PODS: &str = "--selector=app.kubernetes.io/component=operator";
/// Selects the pods of all labs.
const LAB_PODS: &str = "--selector=app.kubernetes.io/managed-by=paylab";
/// The time limit for the controllers to create the default service account.
const SERVICE_ACCOUNT_WITHIN: Duration = Duration::from_secs(20);
/// The operator is idle when it has made no request for this time.
const IDLE_AFTER: Duration = Duration::from_secs(1);
/// The time limit for the operator to become idle.
const IDLE_WITHIN: Duration = Duration::from_secs(120);
/// The requests of an idle operator are counted for this time.
pub(crate) const IDLE_PERIOD: Duration = Duration::from_secs(20);

pub(crate) struct Cluster {
    node: Node,
    /// The requests of the operator's start.
    start: RequestCounts,
}

/// Resident memory of the operator's process: now, and its peak.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) rss_mib: f64,
    pub(crate) peak_mib: f64,
}

impl Cluster {
    /// Starts a node and installs the chart with this image.
    pub(crate) fn start(image: &Path) -> anyhow::Result<Self> {
        let node = Node::start(NodeKind::Full)?;
        node.import_image(image)?;
        let chart = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("charts").join("paylab").display().to_string();
        let set = format!("--set=image.repository={},image.tag={}", IMAGE.0, IMAGE.1);
        let namespace = format!("--namespace={RELEASE}");
        let audit_log = node.audit_log_from_now()?;
        node.helm(&["install", RELEASE, &chart, &namespace, "--create-namespace", "--wait", "--timeout=3m", &set])?;
        let cluster = Self { node, start: RequestCounts::default() };
        cluster.wait_until_idle()?;
        Ok(Self { start: RequestCounts::of_operator(&audit_log.requests()?), ..cluster })
    }

    /// The operator's requests from its start until it was idle.
    pub(crate) fn requests_of_start(&self) -> RequestCounts {
        self.start
    }

    pub(crate) fn stop(self) -> anyhow::Result<()> {
        self.node.stop()
    }

    /// The audit log of requests from now on.
    pub(crate) fn audit_log_from_now(&self) -> anyhow::Result<AuditLog> {
        self.node.audit_log_from_now()
    }

    /// Runs the lesson in a namespace of its own, and waits until only its resource remains.
    pub(crate) fn run(&self, namespace: &str) -> anyhow::Result<Timeline> {
        self.create_namespace(namespace)?;
        let audit_log = self.audit_log_from_now()?;
        self.apply(namespace, LESSON.1)?;
        self.kubectl(namespace, &["wait", LESSON.0, "--for=condition=Verified", "--timeout=2m"])?;
        self.kubectl(namespace, &["wait", "pods", LAB_PODS, "--for=delete", "--timeout=2m"])?;
        self.wait_until_idle()?;
        Timeline::new(&audit_log.requests()?, namespace)
    }

    /// The lesson's resource in a namespace where it has run, as JSON.
    pub(crate) fn lesson(&self, namespace: &str) -> anyhow::Result<String> {
        self.kubectl(namespace, &["get", LESSON.0, "--output=json"])
    }

    /// Creates a namespace with Pod Security `restricted` enforced.
    pub(crate) fn create_namespace(&self, name: &str) -> anyhow::Result<()> {
        let labels = "{pod-security.kubernetes.io/enforce: restricted}";
        let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {labels}}}\n");
        self.node.apply(&namespace)?;
        let service_account = || self.kubectl(name, &["get", "serviceaccount", "default"]);
        eventually("default service account", SERVICE_ACCOUNT_WITHIN, service_account).map(drop)
    }

    pub(crate) fn apply(&self, namespace: &str, documents: &str) -> anyhow::Result<()> {
        self.node.apply_in(namespace, documents).map(drop)
    }

    pub(crate) fn kubectl(&self, namespace: &str, arguments: &[&str]) -> anyhow::Result<String> {
        self.node.kubectl(&[&["--namespace", namespace], arguments].concat())
    }

    /// Stops the operator.
    pub(crate) fn stop_operator(&self) -> anyhow::Result<()> {
        self.kubectl(RELEASE, &["scale", "deployment", RELEASE, "--replicas=0"])?;
        self.kubectl(RELEASE, &["wait", "pods", OPERATOR_PODS, "--for=delete", "--timeout=2m"]).map(drop)
    }

    /// Starts the operator again, and waits until it is idle.
    pub(crate) fn start_operator(&self) -> anyhow::Result<()> {
        self.kubectl(RELEASE, &["scale", "deployment", RELEASE, "--replicas=1"])?;
        self.kubectl(RELEASE, &["rollout", "status", "deployment", RELEASE, "--timeout=2m"])?;
        self.wait_until_idle()
    }

    /// Counts the operator's requests while nothing happens.
    pub(crate) fn count_idle_requests(&self) -> anyhow::Result<RequestCounts> {
        self.count_requests(IDLE_PERIOD)
    }

    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        const KIB: f64 = 1024.0;
        let process = self.operator()?;
        Ok(Memory { rss_mib: memory_kib(process, "VmRSS:")? / KIB, peak_mib: memory_kib(process, "VmHWM:")? / KIB })
    }

    /// Waits until the operator makes no more requests.
    pub(crate) fn wait_until_idle(&self) -> anyhow::Result<()> {
        eventually("idle operator", IDLE_WITHIN, || {
            let requests = self.count_requests(IDLE_AFTER)?;
            ensure!(requests.is_zero(), "{requests:?}");
            Ok(())
        })
    }

    /// Counts the operator's requests for some time.
    fn count_requests(&self, time: Duration) -> anyhow::Result<RequestCounts> {
        let audit_log = self.audit_log_from_now()?;
        thread::sleep(time);
        Ok(RequestCounts::of_operator(&audit_log.requests()?))
    }

    /// The PID of the operator: the process in its pod's control group whose first argument is `operator`. The UID of a pod is unique.
    fn operator(&self) -> anyhow::Result<u32> {
        let uid =
            self.kubectl(RELEASE, &["get", "pods", OPERATOR_PODS, "--output=jsonpath={.items[*].metadata.uid}"])?;
        ensure!(!uid.is_empty() && !uid.contains(' '), "there is not exactly one operator pod: {uid:?}");
        let processes = fs::read_dir("/proc")?.flatten().map(|entry| entry.path());
        let mut found = processes.filter(|process| is_operator_of(process, &uid).unwrap_or(false));
        let process: PathBuf = found.next().context("the operator has no process")?;
        Ok(process.file_name().and_then(|name| name.to_str()).unwrap_or_default().parse()?)
    }
}

fn is_operator_of(process: &Path, pod: &str) -> std::io::Result<bool> {
    let is_operator = fs::read_to_string(process.join("cmdline"))?.split('\0').nth(1) == Some("operator");
    Ok(is_operator && fs::read_to_string(process.join("cgroup"))?.contains(&format!("/pod{pod}/")))
}
