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
use paylab_experiment::contract::{CONTROL_PORT, PROXY_PORT, SERVICE_PORT};

use super::metadata::meta;
use crate::{
    names::{self, Part},
    planned::PlannedExperiment,
};

/// One policy for all pods of the run. Each port stands for the one part that listens on it: load and proxy may connect to the
/// service, the load may connect to the proxy, and nobody may connect to the load.
pub(super) fn policy(experiment: &PlannedExperiment, owner: &OwnerReference) -> NetworkPolicy {
    NetworkPolicy {
        metadata: ObjectMeta { name: Some(experiment.name.clone() + "-lab"), ..meta(experiment, owner) },
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(pods(names::labels(&experiment.name, experiment.id.as_str()))),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![
                from(experiment, &[Part::LoadJob, Part::ResetProxy], &[SERVICE_PORT]),
                from(experiment, &[Part::LoadJob], &[PROXY_PORT, CONTROL_PORT]),
            ]),
            egress: None,
        }),
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
