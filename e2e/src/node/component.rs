//! The components of a node, and their flags. It must not know in which order they start.

use std::path::PathBuf;

use crate::host::slot::Slot;

/// A component of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    /// Stores the objects.
    Etcd,
    /// Serves the objects.
    ApiServer,
    /// Creates pods for Deployments and Jobs, and deletes what belongs to deleted objects.
    ControllerManager,
    /// Assigns pods to the node.
    Scheduler,
    /// Runs the pods.
    Kubelet,
    /// kube-proxy: forwards connections to Services to their pods.
    Proxy,
    /// CoreDNS: resolves the names of Services.
    Dns,
    /// Runs containers.
    Containerd,
}

impl Component {
    /// The name of its program and of its log.
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

    /// The path of its log.
    pub(crate) fn log(self, slot: &Slot) -> PathBuf {
        slot.path(&format!("{}.log", self.name()))
    }

    /// Its flags; `@` stands for the node's folder.
    pub(crate) fn flags(self, slot: &Slot) -> String {
        match self {
            Self::Etcd => "--data-dir=@/etcd --unsafe-no-fsync --listen-peer-urls=http://127.0.0.1:2380 \
                --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379 \
                --heartbeat-interval=100 --election-timeout=1000"
                .to_owned(),
            Self::ApiServer => api_server_flags(slot),
            Self::ControllerManager => format!(
                "--kubeconfig=@/controller-manager.kubeconfig --allocate-node-cidrs=false --service-cluster-ip-range={} \
                 --root-ca-file=@/ca.crt --service-account-private-key-file=@/sa.key --use-service-account-credentials=true \
                 --leader-elect=false --bind-address=127.0.0.1 --kube-api-qps=1000 --kube-api-burst=1000",
                slot.service_cidr()
            ),
            Self::Scheduler => {
                "--kubeconfig=@/scheduler.kubeconfig --leader-elect=false --bind-address=127.0.0.1".to_owned()
            }
            Self::Kubelet => format!(
                "--config=@/kubelet.json --kubeconfig=@/kubelet.kubeconfig --hostname-override={} --node-ip={} \
                 --root-dir=/var/lib/kubelet --cert-dir=@ --tls-cert-file=@/kubelet.crt --tls-private-key-file=@/kubelet.key",
                slot.name(),
                slot.address()
            ),
            Self::Proxy => "--config=@/proxy.json".to_owned(),
            Self::Dns => "-conf @/Corefile".to_owned(),
            Self::Containerd => "-c @/containerd.toml".to_owned(),
        }
    }
}

fn api_server_flags(slot: &Slot) -> String {
    format!(
        "--etcd-servers=http://127.0.0.1:2379 --secure-port=6443 --bind-address={} --advertise-address={} --service-cluster-ip-range={} \
         --client-ca-file=@/ca.crt --tls-cert-file=@/server.crt --tls-private-key-file=@/server.key \
         --service-account-issuer=https://kubernetes.default.svc --service-account-key-file=@/sa.pub \
         --service-account-signing-key-file=@/sa.key --authorization-mode=Node,RBAC \
         --enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement \
         --kubelet-client-certificate=@/admin.crt --kubelet-client-key=@/admin.key \
         --kubelet-certificate-authority=@/ca.crt --kubelet-preferred-address-types=InternalIP \
         --allow-privileged=true --anonymous-auth=false \
         --audit-policy-file=@/audit-policy.json --audit-log-path=@/audit.log --audit-log-maxsize=10000",
        slot.everywhere(),
        slot.address(),
        slot.service_cidr()
    )
}
