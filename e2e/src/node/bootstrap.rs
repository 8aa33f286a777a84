//! Starts the components of a node, each one when those that it needs are ready. It must not know how they end: they end with their
//! namespaces.

use std::{
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::ensure;

use super::{
    certificates::{self, Subject},
    component::Component,
    process::{ComponentProcess, log_contains},
};
use crate::{
    client::{
        admin_tools::{self, AdminTools},
        dns,
    },
    host::{programs::Programs, slot::Slot},
};

const ETCD_WITHIN: Duration = Duration::from_secs(30);
const CONTAINERD_WITHIN: Duration = Duration::from_secs(30);
const API_SERVER_WITHIN: Duration = Duration::from_secs(60);
const CONTROLLERS_WITHIN: Duration = Duration::from_secs(60);
const KUBELET_WITHIN: Duration = Duration::from_secs(60);
const DNS_WITHIN: Duration = Duration::from_secs(60);
/// The time limit of one attempt to connect.
const CONNECTED_WITHIN: Duration = Duration::from_millis(200);

/// The port of the API server.
pub(crate) const API_SERVER_PORT: u16 = 6443;
/// The user of the tests.
pub(crate) const ADMIN: &str = "admin";
/// The group of users who may do everything.
const MASTERS: &str = "system:masters";

/// What the start of the components needs.
#[derive(Debug)]
pub(crate) struct Bootstrap<'a> {
    pub(crate) slot: &'a Slot,
    pub(crate) programs: &'a Programs,
    pub(crate) tools: &'a AdminTools,
    /// The PID of the init process of the node's namespaces.
    pub(crate) init_pid: i32,
}

/// Issues the components' certificates. Each component is a user of its own, so that the audit log tells their requests apart.
pub(crate) fn issue_certificates(slot: &Slot) -> anyhow::Result<()> {
    certificates::create_authority(slot)?;
    let (name, address) = (slot.name(), slot.address());
    let addresses = [slot.kubernetes_service_address(), address].map(|address| format!("IP:{address}"));
    let server = [
        "DNS:kubernetes",
        "DNS:kubernetes.default",
        "DNS:kubernetes.default.svc",
        "DNS:kubernetes.default.svc.cluster.local",
        "IP:127.0.0.1",
        &addresses[0],
        &addresses[1],
    ];
    let kubelet = [&format!("DNS:{name}"), addresses[1].as_str()];
    let node = format!("system:node:{name}");
    for (file, user, groups, alternative_names) in [
        ("server", "kube-apiserver", [].as_slice(), server.as_slice()),
        (ADMIN, ADMIN, &[MASTERS], &[]),
        ("dns", "coredns", &[MASTERS], &[]),
        ("controller-manager", "system:kube-controller-manager", &[], &[]),
        ("scheduler", "system:kube-scheduler", &[], &[]),
        ("proxy", "system:kube-proxy", &[], &[]),
        ("kubelet", &node, &["system:nodes"], &kubelet),
    ] {
        certificates::issue(slot, file, &Subject { user, groups, alternative_names })?;
        certificates::write_kubeconfig(slot, file)?;
    }
    Ok(())
}

impl Bootstrap<'_> {
    /// Starts etcd, the API server and the controllers.
    pub(crate) fn control_plane(&self) -> anyhow::Result<Vec<ComponentProcess>> {
        let etcd = self.etcd()?;
        let mut api_server = self.start(Component::ApiServer)?;
        self.wait_for_api_server(&mut api_server)?;
        let mut controllers = self.start(Component::ControllerManager)?;
        self.wait_for_controllers(&mut controllers)?;
        Ok(vec![etcd, api_server, controllers])
    }

    /// Starts all components. The API server takes a second to write its roles; components that need no role start meanwhile.
    pub(crate) fn all_components(&self) -> anyhow::Result<Vec<ComponentProcess>> {
        let mut containerd = self.start(Component::Containerd)?;
        let etcd = self.etcd()?;
        let mut api_server = self.start(Component::ApiServer)?;
        self.wait_for_containerd(&mut containerd)?;
        self.import_images()?;
        self.wait_for_connection(&mut api_server)?;
        let mut kubelet = self.start(Component::Kubelet)?;
        self.wait_for_api_server(&mut api_server)?;
        let mut controllers = self.start(Component::ControllerManager)?;
        let scheduler = self.start(Component::Scheduler)?;
        let proxy = self.start(Component::Proxy)?;
        let mut dns = self.start(Component::Dns)?;
        self.wait_for_node(&mut kubelet)?;
        self.wait_for_dns(&mut dns)?;
        self.wait_for_controllers(&mut controllers)?;
        Ok(vec![etcd, api_server, containerd, controllers, kubelet, scheduler, proxy, dns])
    }

    /// Starts a component that has run before, and waits until it is ready.
    pub(crate) fn again(&self, component: Component) -> anyhow::Result<ComponentProcess> {
        let mut started = self.start(component)?;
        match component {
            Component::ApiServer => self.wait_for_api_server(&mut started)?,
            Component::Kubelet => self.wait_for_kubelet(&mut started)?,
            Component::Dns => self.wait_for_dns(&mut started)?,
            Component::ControllerManager => self.wait_for_controllers(&mut started)?,
            // Its log of before says the same.
            Component::Etcd | Component::Scheduler | Component::Proxy | Component::Containerd => {}
        }
        Ok(started)
    }

    fn start(&self, component: Component) -> anyhow::Result<ComponentProcess> {
        ComponentProcess::start(component, self.slot, self.programs, self.init_pid)
    }

    fn etcd(&self) -> anyhow::Result<ComponentProcess> {
        let mut etcd = self.start(Component::Etcd)?;
        etcd.wait_until_ready("etcd", ETCD_WITHIN, |log| log_contains(log, "ready to serve client requests"))?;
        Ok(etcd)
    }

    fn wait_for_connection(&self, api_server: &mut ComponentProcess) -> anyhow::Result<()> {
        let address = SocketAddr::from((self.slot.address(), API_SERVER_PORT));
        api_server.wait_until_ready("API server's port", API_SERVER_WITHIN, |_| {
            Ok(TcpStream::connect_timeout(&address, CONNECTED_WITHIN).map(drop)?)
        })
    }

    fn wait_for_api_server(&self, api_server: &mut ComponentProcess) -> anyhow::Result<()> {
        // Checking the port costs less than running kubectl.
        self.wait_for_connection(api_server)?;
        api_server
            .wait_until_ready("API server", API_SERVER_WITHIN, |_| self.kubectl(&["get", "--raw=/readyz"]).map(drop))
    }

    fn wait_for_containerd(&self, containerd: &mut ComponentProcess) -> anyhow::Result<()> {
        containerd.wait_until_ready("containerd", CONTAINERD_WITHIN, |log| {
            log_contains(log, "containerd successfully booted")
        })
    }

    fn import_images(&self) -> anyhow::Result<()> {
        for image in ["pause.tar", "busybox.tar"] {
            admin_tools::run(self.tools.import_image(&self.programs.images.join(image)), "")?;
        }
        Ok(())
    }

    fn wait_for_node(&self, kubelet: &mut ComponentProcess) -> anyhow::Result<()> {
        let name = self.slot.name();
        let condition = r#"--output=jsonpath={.status.conditions[?(@.type=="Ready")]}"#;
        kubelet.wait_until_ready("node", KUBELET_WITHIN, |_| {
            let ready = self.kubectl(&["get", "node", &name, condition])?;
            ensure!(ready.contains(r#""status":"True""#), "the condition of {name} is {ready}");
            Ok(())
        })
    }

    /// Waits until a kubelet that was started anew serves. The Node object says for a while that the one before it was ready.
    fn wait_for_kubelet(&self, kubelet: &mut ComponentProcess) -> anyhow::Result<()> {
        let path = format!("--raw=/api/v1/nodes/{}/proxy/healthz", self.slot.name());
        kubelet.wait_until_ready("kubelet", KUBELET_WITHIN, |_| self.kubectl(&["get", &path]).map(drop))?;
        self.wait_for_node(kubelet)
    }

    fn wait_for_dns(&self, dns: &mut ComponentProcess) -> anyhow::Result<()> {
        dns.wait_until_ready("cluster DNS", DNS_WITHIN, |_| {
            dns::resolve(self.slot.address(), "kubernetes.default.svc.cluster.local")
        })
    }

    /// Waits for the default service account, without which no pod is admitted to a namespace.
    fn wait_for_controllers(&self, controllers: &mut ComponentProcess) -> anyhow::Result<()> {
        controllers.wait_until_ready("controllers", CONTROLLERS_WITHIN, |_| {
            self.kubectl(&["get", "serviceaccount", "default", "--namespace=default"]).map(drop)
        })
    }

    fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        admin_tools::run(self.tools.kubectl(arguments), "")
    }
}
