//! The NetworkPolicy: only the lab's own parts may connect to each other.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::networking::v1::{
        NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference},
        util::intstr::IntOrString,
    },
};
use paylab_part::{
    contract::{CONTROL_PORT, PROXY_PORT, SERVICE_PORT},
    supervision::SUPERVISOR_PORT,
};

use super::{metadata::meta, supervisor};
use crate::{
    names::{self, Part},
    planned::{Paid, PlannedExperiment},
};

/// One policy for all pods of the run. Each port stands for the one part that listens on it: load and proxy may connect to the
/// service, the load may connect to the proxy, and nobody may connect to the load.
pub(super) fn policy(experiment: &PlannedExperiment, owner: &OwnerReference) -> NetworkPolicy {
    let orders = supervisor::is_needed(experiment).then(|| from(experiment, &[Part::ResetProxy], &[SUPERVISOR_PORT]));
    NetworkPolicy {
        metadata: ObjectMeta { name: Some(experiment.name.clone() + "-lab"), ..meta(experiment, owner) },
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(pods(names::labels(&experiment.name, experiment.id.as_str()))),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(
                service_port(experiment)
                    .map(|port| from(experiment, &[Part::LoadJob, Part::ResetProxy], &[port]))
                    .into_iter()
                    .chain([from(experiment, &[Part::LoadJob], &[PROXY_PORT, CONTROL_PORT])])
                    .chain(orders)
                    .collect(),
            ),
            egress: None,
        }),
    }
}

/// The port of the service, if it is one of the lab's pods. Who may connect to any other service is up to its owner.
fn service_port(experiment: &PlannedExperiment) -> Option<u16> {
    match experiment.paid() {
        Paid::Ours => Some(SERVICE_PORT),
        Paid::Image(image) => u16::try_from(image.port).ok(),
        Paid::Service(_) | Paid::Elsewhere(_) => None,
    }
}

fn from(experiment: &PlannedExperiment, parts: &[Part], ports: &[u16]) -> NetworkPolicyIngressRule {
    let peers = parts.iter().map(|part| NetworkPolicyPeer {
        pod_selector: Some(pods(names::part_labels(&experiment.name, experiment.id.as_str(), *part))),
        ..NetworkPolicyPeer::default()
    });
    let ports = ports.iter().map(|port| NetworkPolicyPort {
        port: Some(IntOrString::Int((*port).into())),
        protocol: Some("TCP".to_owned()),
        end_port: None,
    });
    NetworkPolicyIngressRule { from: Some(peers.collect()), ports: Some(ports.collect()) }
}

fn pods(labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), match_expressions: None }
}
