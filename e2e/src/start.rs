//! Brings the parts of a node up, each when what it needs is ready. It must not know how they end: they end with their namespaces.

use std::{
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::ensure;

use crate::{
    certificates::{self, Subject},
    client::{self, Clients},
    dns,
    part::{Part, Running, says},
    place::Place,
    programs::Programs,
};

const ETCD_WITHIN: Duration = Duration::from_secs(30);
const CONTAINERD_WITHIN: Duration = Duration::from_secs(30);
const API_SERVER_WITHIN: Duration = Duration::from_secs(60);
const CONTROLLERS_WITHIN: Duration = Duration::from_secs(60);
const KUBELET_WITHIN: Duration = Duration::from_secs(60);
const DNS_WITHIN: Duration = Duration::from_secs(60);
/// For one connection on this machine.
const CONNECTED_WITHIN: Duration = Duration::from_millis(200);

/// The port of the API server.
pub(crate) const API_SERVER_PORT: u16 = 6443;
/// Whose requests are those of the tests.
pub(crate) const ADMIN: &str = "admin";
/// May do all.
const MASTERS: &str = "system:masters";

/// What a node is started from.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    pub(crate) place: &'a Place,
    pub(crate) programs: &'a Programs,
    pub(crate) clients: &'a Clients,
    /// A process in the node's namespaces.
    pub(crate) init: i32,
}

/// Issues what each part shows to the others. Each is a user of its own, so that their requests can be told apart.
pub(crate) fn certify(place: &Place) -> anyhow::Result<()> {
    certificates::authority(place)?;
    let (name, address) = (place.name(), place.address());
    let addresses = [place.service_address(), address].map(|address| format!("IP:{address}"));
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
    for (file, user, groups, answers_as) in [
        ("server", "kube-apiserver", [].as_slice(), server.as_slice()),
        (ADMIN, ADMIN, &[MASTERS], &[]),
        ("dns", "coredns", &[MASTERS], &[]),
        ("controller-manager", "system:kube-controller-manager", &[], &[]),
        ("scheduler", "system:kube-scheduler", &[], &[]),
        ("proxy", "system:kube-proxy", &[], &[]),
        ("kubelet", &node, &["system:nodes"], &kubelet),
    ] {
        certificates::issue(place, file, &Subject { user, groups, answers_as })?;
        certificates::kubeconfig(place, file)?;
    }
    Ok(())
}

impl Start<'_> {
    /// What holds and controls objects.
    pub(crate) fn control(&self) -> anyhow::Result<Vec<Running>> {
        let etcd = self.etcd()?;
        let mut api_server = self.part(Part::ApiServer)?;
        self.wait_for_api_server(&mut api_server)?;
        let mut controllers = self.part(Part::ControllerManager)?;
        self.wait_for_controllers(&mut controllers)?;
        Ok(vec![etcd, api_server, controllers])
    }

    /// Everything. The API server takes a second to write its roles: what needs none of them starts meanwhile.
    pub(crate) fn all(&self) -> anyhow::Result<Vec<Running>> {
        let mut containerd = self.part(Part::Containerd)?;
        let etcd = self.etcd()?;
        let mut api_server = self.part(Part::ApiServer)?;
        self.wait_for_containerd(&mut containerd)?;
        self.import_images()?;
        self.wait_for_connection(&mut api_server)?;
        let mut kubelet = self.part(Part::Kubelet)?;
        self.wait_for_api_server(&mut api_server)?;
        let mut controllers = self.part(Part::ControllerManager)?;
        let scheduler = self.part(Part::Scheduler)?;
        let proxy = self.part(Part::Proxy)?;
        let mut dns = self.part(Part::Dns)?;
        self.wait_for_node(&mut kubelet)?;
        self.wait_for_dns(&mut dns)?;
        self.wait_for_controllers(&mut controllers)?;
        Ok(vec![etcd, api_server, containerd, controllers, kubelet, scheduler, proxy, dns])
    }

    fn part(&self, part: Part) -> anyhow::Result<Running> {
        Running::start(part, self.place, self.programs, self.init)
    }

    fn etcd(&self) -> anyhow::Result<Running> {
        let mut etcd = self.part(Part::Etcd)?;
        etcd.ready("etcd", ETCD_WITHIN, |log| says(log, "ready to serve client requests"))?;
        Ok(etcd)
    }

    fn wait_for_connection(&self, api_server: &mut Running) -> anyhow::Result<()> {
        let address = SocketAddr::from((self.place.address(), API_SERVER_PORT));
        api_server.ready("API server's port", API_SERVER_WITHIN, |_| {
            Ok(TcpStream::connect_timeout(&address, CONNECTED_WITHIN).map(drop)?)
        })
    }

    fn wait_for_api_server(&self, api_server: &mut Running) -> anyhow::Result<()> {
        // A look at the port costs less than one at the answer.
        self.wait_for_connection(api_server)?;
        api_server.ready("API server", API_SERVER_WITHIN, |_| self.kubectl(&["get", "--raw=/readyz"]).map(drop))
    }

    fn wait_for_containerd(&self, containerd: &mut Running) -> anyhow::Result<()> {
        containerd.ready("containerd", CONTAINERD_WITHIN, |log| says(log, "containerd successfully booted"))
    }

    fn import_images(&self) -> anyhow::Result<()> {
        for image in ["pause.tar", "busybox.tar"] {
            client::run(self.clients.import_image(&self.programs.images.join(image)), "")?;
        }
        Ok(())
    }

    fn wait_for_node(&self, kubelet: &mut Running) -> anyhow::Result<()> {
        let name = self.place.name();
        let condition = r#"--output=jsonpath={.status.conditions[?(@.type=="Ready")]}"#;
        kubelet.ready("node", KUBELET_WITHIN, |_| {
            let ready = self.kubectl(&["get", "node", &name, condition])?;
            ensure!(ready.contains(r#""status":"True""#), "{name} says {ready}");
            Ok(())
        })
    }

    fn wait_for_dns(&self, dns: &mut Running) -> anyhow::Result<()> {
        dns.ready("cluster DNS", DNS_WITHIN, |_| {
            dns::knows(self.place.address(), "kubernetes.default.svc.cluster.local")
        })
    }

    /// Without its account no pod is admitted to a namespace.
    fn wait_for_controllers(&self, controllers: &mut Running) -> anyhow::Result<()> {
        controllers.ready("controllers", CONTROLLERS_WITHIN, |_| {
            self.kubectl(&["get", "serviceaccount", "default", "--namespace=default"]).map(drop)
        })
    }

    fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        client::run(self.clients.kubectl(arguments), "")
    }
}
