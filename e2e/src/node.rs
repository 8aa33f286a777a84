//! A node: starts it, gives access to it, and stops it.

mod bootstrap;
mod certificates;
pub(crate) mod component;
mod config;
mod process;

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::Context as _;

use self::{
    bootstrap::{ADMIN, API_SERVER_PORT, Bootstrap, issue_certificates},
    certificates::Subject,
    component::Component,
    process::ComponentProcess,
};
use crate::{
    client::{
        admin_tools::{self, AdminTools},
        audit_log::AuditLog,
    },
    host::{
        namespaces::{self, Namespaces},
        programs::{self, Programs},
        slot::{Family, Slot, SlotLock},
    },
};

/// The time limit for reaping a process after its namespaces were removed.
const REAPED_WITHIN: Duration = Duration::from_secs(10);

/// Which components a node has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// etcd, the API server and the controllers: objects are admitted, stored and controlled, but no pod runs.
    ControlPlane,
    /// All components: pods run, have logs, and find Services by name.
    Full,
    /// The same on a network without IPv4: node, pods and Services have addresses of IPv6 only.
    FullIpv6,
}

/// A running node. It stops when this is dropped, or when this process ends.
#[derive(Debug)]
pub struct Node {
    slot: Slot,
    programs: Programs,
    tools: AdminTools,
    components: Mutex<Vec<ComponentProcess>>,
    /// The PID of the init process of the node's namespaces.
    init_pid: i32,
    namespaces: Namespaces,
    /// Dropped last, so that the slot stays locked until the node has stopped.
    _lock: SlotLock,
}

/// Stops the node of this name, which another process has started.
///
/// # Errors
/// No such node runs, or it has not stopped within the time limit.
pub fn stop_node(name: &str) -> anyhow::Result<()> {
    let slot = Slot::all(Family::V4)?.find(|slot| slot.name() == name);
    namespaces::kill_init(&slot.with_context(|| format!("no node is called {name}"))?)
}

impl Node {
    /// Starts a node and waits until it is ready.
    ///
    /// # Errors
    /// A program is missing on this machine, or a component does not get ready; the error contains the end of its log.
    pub fn start(kind: NodeKind) -> anyhow::Result<Self> {
        let programs = Programs::find()?;
        let family = if kind == NodeKind::FullIpv6 { Family::V6 } else { Family::V4 };
        let (slot, lock) = Slot::acquire(family)?;
        empty_directory(&slot)?;
        let mut namespaces = Namespaces::start(&slot, &lock)?;
        config::write_all(&slot)?;
        issue_certificates(&slot)?;
        let tools = AdminTools {
            home: slot.path("home"),
            kubeconfig: slot.path(&format!("{ADMIN}.kubeconfig")),
            containerd_socket: slot.path("containerd.sock"),
            kubectl: programs.kubectl.clone(),
            helm: programs.helm.clone(),
        };
        let init_pid = namespaces.wait_until_ready(&slot)?;
        let bootstrap = Bootstrap { slot: &slot, programs: &programs, tools: &tools, init_pid };
        let components = match kind {
            NodeKind::ControlPlane => bootstrap.control_plane()?,
            NodeKind::Full | NodeKind::FullIpv6 => bootstrap.all_components()?,
        };
        Ok(Self { slot, programs, tools, components: Mutex::new(components), init_pid, namespaces, _lock: lock })
    }

    /// Ends all processes of the node, and removes everything but its logs.
    ///
    /// # Errors
    /// It has not stopped within the time limit.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.namespaces.stop()?;
        let components = self.components.get_mut().unwrap_or_else(PoisonError::into_inner);
        components.iter_mut().try_for_each(|component| component.reap(REAPED_WITHIN))
    }

    /// Kills a component, and starts it anew after this time. What it has stored or started stays: objects in etcd, containers in
    /// containerd.
    ///
    /// # Errors
    /// The node has no such component, or it does not get ready again; the error contains the end of its log.
    pub fn restart(&self, component: Component, down_for: Duration) -> anyhow::Result<()> {
        let mut components = self.components.lock().unwrap_or_else(PoisonError::into_inner);
        let of_kind = components.iter_mut().find(|process| process.component() == component);
        let process = of_kind.with_context(|| format!("the node has no {}", component.name()))?;
        process.kill()?;
        process.reap(REAPED_WITHIN)?;
        thread::sleep(down_for);
        let Self { slot, programs, tools, init_pid, .. } = self;
        let bootstrap = Bootstrap { slot, programs, tools, init_pid: *init_pid };
        *process = bootstrap.again(component)?;
        Ok(())
    }

    /// Issues the certificate of a server at an address of this machine, which the API server trusts by the authority of
    /// [`Self::authority`]. Returns the paths of the certificate and of its key, both in PEM.
    ///
    /// # Errors
    /// The certificate cannot be created.
    pub fn serving_certificate(&self, name: &str, address: IpAddr) -> anyhow::Result<[PathBuf; 2]> {
        let address = format!("IP:{address}");
        certificates::issue(&self.slot, name, &Subject { user: name, groups: &[], alternative_names: &[&address] })?;
        Ok(["crt", "key"].map(|ending| self.slot.path(&format!("{name}.{ending}"))))
    }

    /// The path of the certificate of the node's authority, in PEM.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.slot.path("ca.crt")
    }

    /// Waits until the node stops by itself, or by [`stop_node`].
    ///
    /// # Errors
    /// The wait itself fails.
    pub fn wait_until_stopped(&mut self) -> anyhow::Result<()> {
        self.namespaces.wait()
    }

    /// The name of the node, which is also the name of its Node object.
    #[must_use]
    pub fn name(&self) -> String {
        self.slot.name()
    }

    /// The address of the API server, for this machine and for pods.
    #[must_use]
    pub fn api_server(&self) -> SocketAddr {
        SocketAddr::from((self.slot.address(), API_SERVER_PORT))
    }

    /// The address of this machine, for the node's pods.
    #[must_use]
    pub fn gateway(&self) -> IpAddr {
        self.slot.gateway()
    }

    /// The path of kubectl.
    #[must_use]
    pub fn kubectl_program(&self) -> &Path {
        &self.tools.kubectl
    }

    /// The path of helm.
    #[must_use]
    pub fn helm_program(&self) -> &Path {
        &self.tools.helm
    }

    /// The folder of the node's files; the logs stay in it when the node stops.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.slot.directory()
    }

    /// The path of a component's log.
    #[must_use]
    pub fn log(&self, component: Component) -> PathBuf {
        component.log(&self.slot)
    }

    /// The administrator's kubeconfig file, for any client on this machine.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.tools.kubeconfig
    }

    /// Writes the kubeconfig file of another user, who may do what roles allow this user and these groups.
    ///
    /// # Errors
    /// The certificate cannot be created.
    pub fn kubeconfig_of(&self, user: &str, groups: &[&str]) -> anyhow::Result<PathBuf> {
        let file = format!("user-{}", user.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-"));
        certificates::issue(&self.slot, &file, &Subject { user, groups, alternative_names: &[] })?;
        certificates::write_kubeconfig(&self.slot, &file)
    }

    /// Runs kubectl as the administrator and returns its standard output.
    ///
    /// # Errors
    /// It fails or takes more than five minutes; the error contains its standard error.
    pub fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        admin_tools::run(self.tools.kubectl(arguments), "")
    }

    /// Runs `kubectl apply` with YAML documents.
    ///
    /// # Errors
    /// As [`Self::kubectl`].
    pub fn apply(&self, documents: &str) -> anyhow::Result<String> {
        admin_tools::run(self.tools.kubectl(&["apply", "--filename=-"]), documents)
    }

    /// Runs `kubectl apply` in a namespace, with YAML documents that name no namespace.
    ///
    /// # Errors
    /// As [`Self::kubectl`].
    pub fn apply_in(&self, namespace: &str, documents: &str) -> anyhow::Result<String> {
        admin_tools::run(self.tools.kubectl(&["apply", "--filename=-", "--namespace", namespace]), documents)
    }

    /// Asks the API server what it would make of a new object, which is not created: the object as it would be, as JSON.
    ///
    /// # Errors
    /// As [`Self::kubectl`].
    pub fn dry_run(&self, object: &str) -> anyhow::Result<String> {
        let arguments = ["create", "--dry-run=server", "--filename=-", "--output=json"];
        admin_tools::run(self.tools.kubectl(&arguments), object)
    }

    /// A kubectl command for the caller to start, such as port-forward; it is killed after five minutes.
    #[must_use]
    pub fn kubectl_command(&self, arguments: &[&str]) -> Command {
        self.tools.kubectl(arguments)
    }

    /// Runs helm as the administrator and returns its standard output.
    ///
    /// # Errors
    /// As [`Self::kubectl`].
    pub fn helm(&self, arguments: &[&str]) -> anyhow::Result<String> {
        admin_tools::run(self.tools.helm(arguments), "")
    }

    /// As [`Self::helm`], with Helm 3.
    ///
    /// # Errors
    /// As [`Self::kubectl`], or Helm 3 cannot be built.
    pub fn helm3(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.run(&self.gitops_programs()?.join("helm3"), arguments, "")
    }

    /// The folder of Helm 3 (`helm3`), of Flux's controllers (`helm-controller`, `kustomize-controller`), of the definitions of Flux's resources
    /// (`crds`), and of a program with Argo CD's health checks (`argocd-health`). They are built first if the cache lacks them.
    ///
    /// # Errors
    /// They cannot be built.
    pub fn gitops_programs(&self) -> anyhow::Result<&'static Path> {
        programs::gitops()
    }

    /// Runs a program as the administrator, with this standard input, and returns its standard output.
    ///
    /// # Errors
    /// As [`Self::kubectl`].
    pub fn run(&self, program: &Path, arguments: &[&str], input: &str) -> anyhow::Result<String> {
        admin_tools::run(self.command(program, arguments), input)
    }

    /// A command of the administrator for the caller to start; it is killed after five minutes.
    #[must_use]
    pub fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        self.tools.command(program, arguments)
    }

    /// Imports an image archive of `image/build` into containerd, so that pods need no registry.
    ///
    /// # Errors
    /// containerd refuses the archive or does not run.
    pub fn import_image(&self, archive: &Path) -> anyhow::Result<()> {
        admin_tools::run(self.tools.import_image(archive), "").map(drop)
    }

    /// The audit log of requests from now on.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn audit_log_from_now(&self) -> anyhow::Result<AuditLog> {
        self.audit_log().skip_existing()
    }

    /// The audit log of all requests, including those of the node's own start.
    #[must_use]
    pub fn audit_log(&self) -> AuditLog {
        AuditLog::new(&self.slot.path("audit.log"))
    }
}

/// Removes the logs of the previous node in this slot.
fn empty_directory(slot: &Slot) -> anyhow::Result<()> {
    let directory = slot.directory();
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| format!("cannot remove {}", directory.display()))?;
    }
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))
}
