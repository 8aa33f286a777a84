//! The parts of a node, and how each is started. It must not know when: the node does.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};

use crate::{
    place::Place,
    programs::{PATH, Programs},
    wait::eventually,
};

/// How much of a log an error tells.
const TOLD_LINES: usize = 20;

/// A part of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Holds the objects.
    Etcd,
    /// Serves the objects.
    ApiServer,
    /// Makes pods of Deployments and Jobs, and removes what is deleted.
    ControllerManager,
    /// Gives pods their node.
    Scheduler,
    /// Runs the pods.
    Kubelet,
    /// Leads Services to pods.
    Proxy,
    /// Answers for the names of Services.
    Dns,
    /// Runs containers.
    Containerd,
}

impl Part {
    /// Its program's name, and its log's.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Kubelet => "kubelet",
            Self::Proxy => "kube-proxy",
            Self::Dns => "coredns",
            Self::Containerd => "containerd",
        }
    }

    pub(crate) fn log(self, place: &Place) -> PathBuf {
        place.path(&format!("{}.log", self.name()))
    }

    /// What it is started with. `@` is the node's directory.
    fn flags(self, place: &Place) -> String {
        match self {
            Self::Etcd => "--data-dir=@/etcd --unsafe-no-fsync --listen-peer-urls=http://127.0.0.1:2380 \
                --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379 \
                --heartbeat-interval=10 --election-timeout=50"
                .to_owned(),
            Self::ApiServer => api_server(place),
            Self::ControllerManager => format!(
                "--kubeconfig=@/controller-manager.kubeconfig --allocate-node-cidrs=false --service-cluster-ip-range={} \
                 --root-ca-file=@/ca.crt --service-account-private-key-file=@/sa.key --use-service-account-credentials=true \
                 --leader-elect=false --bind-address=127.0.0.1 --kube-api-qps=1000 --kube-api-burst=1000",
                place.services()
            ),
            Self::Scheduler => {
                "--kubeconfig=@/scheduler.kubeconfig --leader-elect=false --bind-address=127.0.0.1".to_owned()
            }
            Self::Kubelet => format!(
                "--config=@/kubelet.json --kubeconfig=@/kubelet.kubeconfig --hostname-override={} --node-ip={} \
                 --root-dir=/var/lib/kubelet --cert-dir=@ --tls-cert-file=@/kubelet.crt --tls-private-key-file=@/kubelet.key",
                place.name(),
                place.address()
            ),
            Self::Proxy => "--config=@/proxy.json".to_owned(),
            Self::Dns => "-conf @/Corefile".to_owned(),
            Self::Containerd => "-c @/containerd.toml".to_owned(),
        }
    }
}

fn api_server(place: &Place) -> String {
    format!(
        "--etcd-servers=http://127.0.0.1:2379 --secure-port=6443 --advertise-address={} --service-cluster-ip-range={} \
         --client-ca-file=@/ca.crt --tls-cert-file=@/server.crt --tls-private-key-file=@/server.key \
         --service-account-issuer=https://kubernetes.default.svc --service-account-key-file=@/sa.pub \
         --service-account-signing-key-file=@/sa.key --authorization-mode=Node,RBAC \
         --enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement \
         --kubelet-client-certificate=@/admin.crt --kubelet-client-key=@/admin.key \
         --kubelet-certificate-authority=@/ca.crt --kubelet-preferred-address-types=InternalIP \
         --allow-privileged=true --anonymous-auth=false \
         --audit-policy-file=@/audit-policy.json --audit-log-path=@/audit.log --audit-log-maxsize=10000",
        place.address(),
        place.services()
    )
}

/// A part that was started.
#[derive(Debug)]
pub(crate) struct Running {
    part: Part,
    log: PathBuf,
    child: Child,
}

impl Running {
    /// Starts a part in the namespaces of a process.
    pub(crate) fn start(part: Part, place: &Place, programs: &Programs, init: i32) -> anyhow::Result<Self> {
        let log = part.log(place);
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={init}")).args(["--net", "--mount", "--pid", "--"]);
        match part {
            Part::Containerd => command.arg("containerd"),
            Part::Etcd
            | Part::ApiServer
            | Part::ControllerManager
            | Part::Scheduler
            | Part::Kubelet
            | Part::Proxy
            | Part::Dns => command.arg(&programs.node).arg(part.name()),
        };
        let directory = place.directory().display().to_string();
        let child = command
            .args(part.flags(place).split_ascii_whitespace().map(|flag| flag.replace('@', &directory)))
            .env_clear()
            .envs([("PATH", PATH), ("HOME", &directory)])
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // It ends with its namespaces, not with a terminal's signal.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", part.name()))?;
        Ok(Self { part, log, child })
    }

    /// Looks until it is ready, as long as it runs.
    pub(crate) fn ready<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut look: impl FnMut(&Path) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let Self { part, log, child } = self;
        let seen = eventually(what, limit, || match child.try_wait()? {
            Some(status) => Ok(Err(anyhow!("{} ended with {status}", part.name()))),
            None => look(log).map(Ok),
        });
        seen.flatten().with_context(|| told(log))
    }

    /// Takes the exit of a part whose namespaces have gone.
    pub(crate) fn reap(&mut self, limit: Duration) -> anyhow::Result<()> {
        eventually(self.part.name(), limit, || self.child.try_wait()?.context("still there")).map(drop)
    }
}

/// Whether a log has a line that says so.
pub(crate) fn says(log: &Path, words: &str) -> anyhow::Result<()> {
    if fs::read_to_string(log)?.contains(words) {
        return Ok(());
    }
    bail!("its log does not say {words:?}")
}

/// Where a log is, and its end.
fn told(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let end = lines[lines.len().saturating_sub(TOLD_LINES)..].join("\n");
    format!("the end of {}:\n{end}\n", log.display())
}
