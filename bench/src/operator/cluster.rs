//! A node with the chart installed, and how an experiment is run on it. It must not know what is measured.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use paylab_e2e::{Audit, Node, Tier, eventually};

use super::{
    IMAGE,
    account::{Account, Asked},
};
use crate::process::memory_kib;

/// The lesson that is run.
const LESSON: (&str, &str) = ("payx/never-pay-too-little", include_str!("../../../examples/never-pay-too-little.yaml"));
/// The chart's release, its namespace, and the operator's pods in it.
const RELEASE: &str = "paylab";
const OPERATORS: &str = "--selector=app.kubernetes.io/component=operator";
/// The pods of all labs.
const PARTS: &str = "--selector=app.kubernetes.io/managed-by=paylab";
/// The controllers give each namespace its default account.
const ACCOUNT_WITHIN: Duration = Duration::from_secs(20);
/// The operator has settled when it has asked for nothing for so long.
const SETTLED_AFTER: Duration = Duration::from_secs(1);
const SETTLED_WITHIN: Duration = Duration::from_secs(120);
/// It is listened to for so long while nothing happens.
pub(crate) const SILENCE: Duration = Duration::from_secs(20);

pub(crate) struct Cluster {
    node: Node,
}

/// Resident memory of the operator's process: now, and the most that it ever had.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) rss_mib: f64,
    pub(crate) peak_mib: f64,
}

impl Cluster {
    /// Brings a node up and installs the chart with this image.
    pub(crate) fn up(image: &Path) -> anyhow::Result<Self> {
        let node = Node::up(Tier::Full)?;
        node.import_image(image)?;
        let chart = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("charts").join("paylab").display().to_string();
        let set = format!("--set=image.repository={},image.tag={}", IMAGE.0, IMAGE.1);
        let namespace = format!("--namespace={RELEASE}");
        node.helm(&["install", RELEASE, &chart, &namespace, "--create-namespace", "--wait", "--timeout=3m", &set])?;
        let cluster = Self { node };
        cluster.settle()?;
        Ok(cluster)
    }

    pub(crate) fn down(self) -> anyhow::Result<()> {
        self.node.down()
    }

    /// The requests to the API server from now on.
    pub(crate) fn audit(&self) -> anyhow::Result<Audit> {
        self.node.audit()
    }

    /// Runs the lesson in a namespace of its own, until nothing of it is left but the resource.
    pub(crate) fn run(&self, namespace: &str) -> anyhow::Result<Account> {
        self.make_namespace(namespace)?;
        let audit = self.audit()?;
        self.apply(namespace, LESSON.1)?;
        self.kubectl(namespace, &["wait", LESSON.0, "--for=condition=Verified", "--timeout=2m"])?;
        self.kubectl(namespace, &["wait", "pods", PARTS, "--for=delete", "--timeout=2m"])?;
        self.settle()?;
        Account::of(&audit.requests()?, namespace)
    }

    /// The lesson's resource in a namespace where it has run, as JSON.
    pub(crate) fn lesson(&self, namespace: &str) -> anyhow::Result<String> {
        self.kubectl(namespace, &["get", LESSON.0, "--output=json"])
    }

    /// A namespace where nothing runs but what Pod Security `restricted` allows.
    pub(crate) fn make_namespace(&self, name: &str) -> anyhow::Result<()> {
        let labels = "{pod-security.kubernetes.io/enforce: restricted}";
        let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {labels}}}\n");
        self.node.apply(&namespace)?;
        let account = || self.kubectl(name, &["get", "serviceaccount", "default"]);
        eventually("default account", ACCOUNT_WITHIN, account).map(drop)
    }

    pub(crate) fn apply(&self, namespace: &str, documents: &str) -> anyhow::Result<()> {
        self.node.apply_in(namespace, documents).map(drop)
    }

    pub(crate) fn kubectl(&self, namespace: &str, arguments: &[&str]) -> anyhow::Result<String> {
        self.node.kubectl(&[&["--namespace", namespace], arguments].concat())
    }

    /// Ends the operator.
    pub(crate) fn stop_operator(&self) -> anyhow::Result<()> {
        self.kubectl(RELEASE, &["scale", "deployment", RELEASE, "--replicas=0"])?;
        self.kubectl(RELEASE, &["wait", "pods", OPERATORS, "--for=delete", "--timeout=2m"]).map(drop)
    }

    /// Starts the operator anew, and waits until it has settled.
    pub(crate) fn start_operator(&self) -> anyhow::Result<()> {
        self.kubectl(RELEASE, &["scale", "deployment", RELEASE, "--replicas=1"])?;
        self.kubectl(RELEASE, &["rollout", "status", "deployment", RELEASE, "--timeout=2m"])?;
        self.settle()
    }

    /// What the operator asks for though nothing happens.
    pub(crate) fn listen(&self) -> anyhow::Result<Asked> {
        self.asked_for(SILENCE)
    }

    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        const KIB: f64 = 1024.0;
        let process = self.operator()?;
        Ok(Memory { rss_mib: memory_kib(process, "VmRSS:")? / KIB, peak_mib: memory_kib(process, "VmHWM:")? / KIB })
    }

    /// Waits until the operator asks for nothing any more.
    fn settle(&self) -> anyhow::Result<()> {
        eventually("silence of the operator", SETTLED_WITHIN, || {
            let asked = self.asked_for(SETTLED_AFTER)?;
            ensure!(asked.is_nothing(), "{asked:?}");
            Ok(())
        })
    }

    fn asked_for(&self, time: Duration) -> anyhow::Result<Asked> {
        let audit = self.audit()?;
        thread::sleep(time);
        Ok(Asked::by_operator(&audit.requests()?))
    }

    /// The operator's process: the one of its pod's control group that is an operator. A pod's UID is nobody else's.
    fn operator(&self) -> anyhow::Result<u32> {
        let uid = self.kubectl(RELEASE, &["get", "pods", OPERATORS, "--output=jsonpath={.items[*].metadata.uid}"])?;
        ensure!(!uid.is_empty() && !uid.contains(' '), "there is not one operator: {uid:?}");
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
