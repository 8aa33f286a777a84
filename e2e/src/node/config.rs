//! The configuration files of the node's components. It must not know the components' flags.

use std::{fs, net::SocketAddr};

use serde_json::{Value, json};

use super::bootstrap::API_SERVER_PORT;
use crate::host::slot::Slot;

/// Writes all files into the node's folder.
pub(crate) fn write_all(slot: &Slot) -> anyhow::Result<()> {
    fs::create_dir_all(slot.path("cni"))?;
    fs::create_dir_all(slot.path("home"))?;
    for (file, content) in [
        ("audit-policy.json", audit_policy()),
        ("kubelet.json", kubelet(slot)),
        ("proxy.json", proxy(slot)),
        ("cni/paylab.conflist", pod_network(slot)),
    ] {
        fs::write(slot.path(file), content.to_string())?;
    }
    fs::write(slot.path("Corefile"), corefile(slot))?;
    fs::write(slot.path("containerd.toml"), containerd(slot))?;
    // The machine's resolv.conf may name a server that the node's namespaces cannot reach.
    fs::write(slot.path("resolv.conf"), format!("nameserver {}\n", slot.address()))?;
    Ok(())
}

/// One entry for each request, without bodies.
fn audit_policy() -> Value {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata"}],
    })
}

fn kubelet(slot: &Slot) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": slot.everywhere(),
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": slot.path_text("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        // Each kubelet kills processes that it does not know below its root, so each node has a root of its own.
        "cgroupRoot": format!("/{}", slot.name()),
        "clusterDNS": [slot.address()],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": format!("unix://{}", slot.path_text("containerd.sock")),
        "evictionHard": {"imagefs.available": "1%", "memory.available": "100Mi", "nodefs.available": "1%"},
        "failCgroupV1": false,
        "failSwapOn": false,
        "featureGates": {"KubeletInUserNamespace": true},
        "imageGCHighThresholdPercent": 100,
        "localStorageCapacityIsolation": false,
        "maxOpenFiles": 20000,
        "oomScoreAdj": 0,
        "resolvConf": slot.path_text("resolv.conf"),
    })
}

fn proxy(slot: &Slot) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "bindAddress": slot.everywhere(),
        "clientConnection": {"kubeconfig": slot.path_text("proxy.kubeconfig")},
        // Leaves the limits of the whole machine unchanged.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpCloseWaitTimeout": "0s", "tcpEstablishedTimeout": "0s"},
        "hostnameOverride": slot.name(),
        "mode": "nftables",
        "oomScoreAdj": 0,
    })
}

/// A bridge; it does not enforce NetworkPolicies. This machine has a route to pods of IPv6, so that their addresses need not be hidden.
fn pod_network(slot: &Slot) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": slot.name(),
        "plugins": [
            {
                "type": "bridge",
                "bridge": "pods",
                "isGateway": true,
                "ipMasq": slot.address().is_ipv4(),
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": slot.pod_cidr()}]],
                    "routes": [{"dst": format!("{}/0", slot.everywhere())}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    })
}

fn corefile(slot: &Slot) -> String {
    format!(
        ".:53 {{
    errors
    cache 5
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        endpoint https://{}
        kubeconfig {} node
        ttl 5
    }}
}}
",
        SocketAddr::from((slot.address(), API_SERVER_PORT)),
        slot.path_text("dns.kubeconfig")
    )
}

fn containerd(slot: &Slot) -> String {
    let directory = slot.directory().display();
    format!(
        r#"version = 2
root = "{directory}/containerd"
state = "{directory}/containerd-state"
[grpc]
  address = "{directory}/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{directory}/containerd-opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.local/pause:lab"
  restrict_oom_score_adj = true
  disable_apparmor = true
  tolerate_missing_hugetlb_controller = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{directory}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"#
    )
}
