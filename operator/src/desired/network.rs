//! Who may reach the lab: its own parts, and nobody else.

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

use super::meta;
use crate::{
    names::{self, Part},
    planned::Run,
};

/// One policy for all pods of the run. It names parts by the ports that only they listen on: load and proxy may reach the
/// service, the load may reach the proxy, and nobody the load.
pub(super) fn policy(run: &Run, owner: &OwnerReference) -> NetworkPolicy {
    NetworkPolicy {
        metadata: ObjectMeta { name: Some(run.name.clone() + "-lab"), ..meta(run, owner) },
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(pods(names::labels(&run.name, run.id.as_str()))),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![
                from(run, &[Part::LoadJob, Part::ResetProxy], &[SERVICE_PORT]),
                from(run, &[Part::LoadJob], &[PROXY_PORT, CONTROL_PORT]),
            ]),
            egress: None,
        }),
    }
}

fn from(run: &Run, parts: &[Part], ports: &[u16]) -> NetworkPolicyIngressRule {
    let peers = parts.iter().map(|part| NetworkPolicyPeer {
        pod_selector: Some(pods(names::part_labels(&run.name, run.id.as_str(), *part))),
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
