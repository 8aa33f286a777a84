//! Errors that end the operator or `paylab wait`.

use std::{io, net::SocketAddr};

use crate::{api::in_words, leader::LeaderError};

/// Why the operator or `paylab wait` cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither a pod's service account nor a kubeconfig was found.
    #[error("no cluster is configured: {0}; run in a pod with a service account, or set KUBECONFIG")]
    Config(String),
    /// A kubeconfig cannot be read as one. Its text is not shown, because it holds credentials.
    #[error("the kubeconfig is not valid YAML, or a field of it has another type; `kubectl config view` says where")]
    Kubeconfig,
    /// A request to the Kubernetes API failed.
    #[error("a request to the cluster's API failed: {}", in_words(.0))]
    Api(#[from] kube::Error),
    /// There is no experiment of the name that is waited for.
    #[error(
        "there is no such experiment: {name}; see kubectl get chaosexperiments.paylab.dev, and name its namespace with --namespace"
    )]
    NoExperiment {
        /// The name.
        name: String,
    },
    /// There is no experiment whose labels match.
    #[error("no experiment matches {selector}; apply the experiments first, and name their namespace with --namespace")]
    NoMatch {
        /// The selector.
        selector: String,
    },
    /// The CustomResourceDefinition is not installed.
    #[error("the cluster has no resource ChaosExperiment; install the chart, or run `paylab crd | kubectl apply -f -`")]
    Undefined,
    /// The address for health and metrics cannot be bound.
    #[error("cannot listen on {address}: {source}; check --listen")]
    Listen {
        /// The address from the options.
        address: SocketAddr,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The operator lost or never got the Lease.
    #[error(transparent)]
    Leader(#[from] LeaderError),
}
