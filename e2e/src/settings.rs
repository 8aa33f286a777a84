//! The files that the node's parts read. It must not know the parts' flags.

use std::fs;

use serde_json::{Value, json};

use crate::place::Place;

/// Writes all of them into the node's directory.
pub(crate) fn write(place: &Place) -> anyhow::Result<()> {
    fs::create_dir_all(place.path("cni"))?;
    fs::create_dir_all(place.path("home"))?;
    for (file, content) in [
        ("audit-policy.json", audit_policy()),
        ("kubelet.json", kubelet(place)),
        ("proxy.json", proxy(place)),
        ("cni/paylab.conflist", pod_network(place)),
    ] {
        fs::write(place.path(file), content.to_string())?;
    }
    fs::write(place.path("Corefile"), corefile(place))?;
    fs::write(place.path("containerd.toml"), containerd(place))?;
    // The machine's may name an address that is not in these namespaces.
    fs::write(place.path("resolv.conf"), format!("nameserver {}\n", place.address()))?;
    Ok(())
}

/// One line a request, without bodies.
fn audit_policy() -> Value {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata"}],
    })
}

fn kubelet(place: &Place) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": place.text("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        // Another node's kubelet has its own: each kills what it does not know in its root.
        "cgroupRoot": format!("/{}", place.name()),
        "clusterDNS": [place.address()],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": format!("unix://{}", place.text("containerd.sock")),
        "evictionHard": {"imagefs.available": "1%", "memory.available": "100Mi", "nodefs.available": "1%"},
        "failCgroupV1": false,
        "failSwapOn": false,
        "featureGates": {"KubeletInUserNamespace": true},
        "imageGCHighThresholdPercent": 100,
        "localStorageCapacityIsolation": false,
        "maxOpenFiles": 20000,
        "oomScoreAdj": 0,
        "resolvConf": place.text("resolv.conf"),
    })
}

fn proxy(place: &Place) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": place.text("proxy.kubeconfig")},
        // Limits of the whole machine stay as they are.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpCloseWaitTimeout": "0s", "tcpEstablishedTimeout": "0s"},
        "hostnameOverride": place.name(),
        "mode": "nftables",
        "oomScoreAdj": 0,
    })
}

/// It does not enforce a NetworkPolicy.
fn pod_network(place: &Place) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": place.name(),
        "plugins": [
            {
                "type": "bridge",
                "bridge": "pods",
                "isGateway": true,
                "ipMasq": true,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": place.pods()}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    })
}

fn corefile(place: &Place) -> String {
    format!(
        ".:53 {{
    errors
    cache 5
    kubernetes cluster.local in-addr.arpa {{
        endpoint https://{}:6443
        kubeconfig {} node
        ttl 5
    }}
}}
",
        place.address(),
        place.text("dns.kubeconfig")
    )
}

fn containerd(place: &Place) -> String {
    let directory = place.directory().display();
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
