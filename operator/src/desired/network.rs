//! The NetworkPolicies: only the lab's own parts may connect to each other, and they may connect to what they need. So a lab works in a
//! namespace where everything else is denied.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::networking::v1::{
        NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
        NetworkPolicySpec,
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta, OwnerReference},
        util::intstr::IntOrString,
    },
};
use paylab_contract::ledger::Ledger;
use paylab_part::{
    contract::{CONTROL_PORT, PROXY_PORT, SERVICE_PORT},
    supervision::SUPERVISOR_PORT,
};

use super::{metadata::meta, supervisor};
use crate::{
    names::{self, Part},
    planned::{Paid, PlannedExperiment},
};

/// One policy for all pods of the run, and one more for those that connect to something outside of it. Policies add up.
pub(super) fn policies(experiment: &PlannedExperiment, owner: &OwnerReference) -> Vec<NetworkPolicy> {
    [Some(inside(experiment, owner)), outside(experiment, owner)].into_iter().flatten().collect()
}

/// Each port stands for the one part that listens on it: load and proxy may connect to the service, the load may connect to the proxy,
/// nobody may connect to the load, and all may ask for names.
fn inside(experiment: &PlannedExperiment, owner: &OwnerReference) -> NetworkPolicy {
    let run = names::labels(&experiment.name, experiment.id.as_str());
    let service = service(experiment);
    let into_service = service.map(|(_, port)| from(experiment, &[Part::LoadJob, Part::ResetProxy], &[port]));
    let supervised = service.filter(|_| supervisor::is_needed(experiment));
    let into_supervisor = supervised.map(|_| from(experiment, &[Part::ResetProxy], &[SUPERVISOR_PORT]));
    let into_proxy = from(experiment, &[Part::LoadJob], &[PROXY_PORT, CONTROL_PORT]);
    let ingress = into_service.into_iter().chain([into_proxy]).chain(into_supervisor);
    let to_service = service.map(|(part, port)| to(experiment, part, &[port]));
    let to_proxy = to(experiment, Part::ResetProxy, &[PROXY_PORT, CONTROL_PORT]);
    let to_supervisor = supervised.map(|(part, _)| to(experiment, part, &[SUPERVISOR_PORT]));
    let egress = [names_of_hosts(), to_proxy].into_iter().chain(to_service).chain(to_supervisor);
    NetworkPolicy {
        metadata: ObjectMeta { name: Some(experiment.name.clone() + "-lab"), ..meta(experiment, owner) },
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(pods(run)),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(ingress.collect()),
            egress: Some(egress.collect()),
        }),
    }
}

/// Where a part connects to something that is not of the lab, it may connect to everything: a policy names pods and their ports, or
/// addresses, and not the names of hosts or Services; and where a database is, only its Secret knows.
fn outside(experiment: &PlannedExperiment, owner: &OwnerReference) -> Option<NetworkPolicy> {
    let parts = parts_that_leave(experiment);
    if parts.is_empty() {
        return None;
    }
    let among = LabelSelectorRequirement {
        key: names::PART_LABEL.to_owned(),
        operator: "In".to_owned(),
        values: Some(parts.into_iter().map(|part| part.name().to_owned()).collect()),
    };
    let run = pods(names::labels(&experiment.name, experiment.id.as_str()));
    Some(NetworkPolicy {
        metadata: ObjectMeta { name: Some(experiment.name.clone() + "-lab-egress"), ..meta(experiment, owner) },
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector { match_expressions: Some(vec![among]), ..run }),
            policy_types: Some(vec!["Egress".to_owned()]),
            ingress: None,
            egress: Some(vec![NetworkPolicyEgressRule::default()]),
        }),
    })
}

/// The parts that connect to something outside of the lab.
fn parts_that_leave(experiment: &PlannedExperiment) -> Vec<Part> {
    let ledger_is_elsewhere =
        experiment.contract.as_ref().is_some_and(|contract| matches!(contract.ledger, Ledger::Sql(_)));
    match experiment.paid() {
        Paid::Ours => experiment.spec.service.database.iter().map(|_| Part::PaymentService).collect(),
        // The user's own service may need anything: a database, a queue, another service.
        Paid::Image(_) => [Part::Target].into_iter().chain(ledger_is_elsewhere.then_some(Part::LoadJob)).collect(),
        Paid::Service(_) | Paid::Elsewhere(_) => vec![Part::ResetProxy, Part::LoadJob],
    }
}

/// The part that is paid, and its port, if it is one of the lab's pods. Who may connect to any other service is up to its owner.
fn service(experiment: &PlannedExperiment) -> Option<(Part, u16)> {
    match experiment.paid() {
        Paid::Ours => Some((Part::PaymentService, SERVICE_PORT)),
        Paid::Image(image) => u16::try_from(image.port).ok().map(|port| (Part::Target, port)),
        Paid::Service(_) | Paid::Elsewhere(_) => None,
    }
}

/// DNS, wherever it is. The pods of OpenShift's listen on another port than its Service.
fn names_of_hosts() -> NetworkPolicyEgressRule {
    const DNS_PORTS: [u16; 2] = [53, 5353];
    let ports = ["UDP", "TCP"].into_iter().flat_map(|protocol| DNS_PORTS.map(|number| port(protocol, number)));
    NetworkPolicyEgressRule { ports: Some(ports.collect()), to: None }
}

fn from(experiment: &PlannedExperiment, parts: &[Part], ports: &[u16]) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule {
        from: Some(parts.iter().map(|part| peer(experiment, *part)).collect()),
        ports: Some(ports.iter().map(|number| port("TCP", *number)).collect()),
    }
}

fn to(experiment: &PlannedExperiment, part: Part, ports: &[u16]) -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule {
        to: Some(vec![peer(experiment, part)]),
        ports: Some(ports.iter().map(|number| port("TCP", *number)).collect()),
    }
}

fn peer(experiment: &PlannedExperiment, part: Part) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        pod_selector: Some(pods(names::part_labels(&experiment.name, experiment.id.as_str(), part))),
        ..NetworkPolicyPeer::default()
    }
}

fn port(protocol: &str, number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(number.into())),
        protocol: Some(protocol.to_owned()),
        end_port: None,
    }
}

fn pods(labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), match_expressions: None }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        desired::{job, lab},
        fixtures::{PROXY, UID, planned, settings},
    };

    /// A pod of the lab: its labels, and the addresses that its arguments name.
    struct Pod {
        labels: Value,
        addresses: Vec<String>,
    }

    /// The policies, the Services and the pods of a lab, as Kubernetes gets them.
    fn built(spec: &Value) -> (Value, Vec<Value>, Vec<Pod>) {
        let experiment = planned(spec);
        let owner = experiment.owner.clone();
        let lab = lab(&experiment, &settings(), &owner);
        let mut templates: Vec<_> = lab.deployments.iter().map(|one| json!(one)["spec"]["template"].clone()).collect();
        templates.push(json!(job(&experiment, &settings(), &owner, "lab", PROXY))["spec"]["template"].clone());
        let pods = templates.iter().map(|template| Pod {
            labels: template["metadata"]["labels"].clone(),
            addresses: template["spec"]["containers"][0]["args"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|argument| argument.as_str())
                .map(|argument| argument.trim_start_matches("http://").to_owned())
                .filter(|argument| argument.contains(':') && !argument.starts_with("[::]"))
                .collect(),
        });
        (json!(lab.policies), lab.services.iter().map(|one| json!(one)).collect(), pods.collect())
    }

    fn selects(selector: &Value, labels: &Value) -> bool {
        let has_all =
            selector["matchLabels"].as_object().into_iter().flatten().all(|(name, value)| labels[name] == *value);
        let mut among = selector["matchExpressions"].as_array().into_iter().flatten();
        has_all && among.all(|one| one["values"].as_array().unwrap().contains(&labels[one["key"].as_str().unwrap()]))
    }

    /// Whether a rule allows a port of these pods, or of somebody without labels of the lab.
    fn allows(rule: &Value, peers: &str, labels: &Value, port: u16) -> bool {
        let is_peer = rule[peers].is_null()
            || rule[peers].as_array().unwrap().iter().any(|peer| selects(&peer["podSelector"], labels));
        let mut ports = rule["ports"].as_array().into_iter().flatten();
        is_peer && (rule["ports"].is_null() || ports.any(|one| one["port"] == port && one["protocol"] == "TCP"))
    }

    fn any_rule(policies: &Value, direction: &str, of: &Value, check: impl Fn(&Value) -> bool) -> bool {
        let mut policies = policies.as_array().unwrap().iter().filter(|one| selects(&one["spec"]["podSelector"], of));
        policies.any(|one| one["spec"][direction].as_array().into_iter().flatten().any(&check))
    }

    /// Checks that each connection which the arguments of the pods name is allowed at both ends, and returns how many lead out of the lab.
    fn connections_that_leave(spec: &Value) -> usize {
        let (policies, services, pods) = built(spec);
        let mut leaving = 0;
        for (pod, address) in pods.iter().flat_map(|pod| pod.addresses.iter().map(move |address| (pod, address))) {
            let (host, port) = address.rsplit_once(':').unwrap();
            let port: u16 = port.parse().unwrap();
            let service = services.iter().find(|one| one["metadata"]["name"] == host);
            let proxy = names::part_labels("lesson", UID, Part::ResetProxy);
            let selector = service.map(|service| service["spec"]["selector"].clone());
            let Some(selector) = selector.or_else(|| (host == PROXY.to_string()).then(|| json!(proxy))) else {
                leaving += 1;
                let stranger = json!({});
                assert!(
                    any_rule(&policies, "egress", &pod.labels, |rule| allows(rule, "to", &stranger, port)),
                    "{address}"
                );
                continue;
            };
            let selector = json!({"matchLabels": selector});
            let served = pods.iter().find(|pod| selects(&selector, &pod.labels)).unwrap();
            let leaves = any_rule(&policies, "egress", &pod.labels, |rule| allows(rule, "to", &served.labels, port));
            let enters = any_rule(&policies, "ingress", &served.labels, |rule| allows(rule, "from", &pod.labels, port));
            assert!(leaves && enters, "{} to {address}", pod.labels);
        }
        leaving
    }

    fn target(place: &Value) -> Value {
        let mut target = json!({
            "pay": {"post": "/p", "text": "{reference}"},
            "ledger": {"list": {"get": "/p", "items": "$[*]", "reference": "$.r", "minor": "$.m"}},
        });
        for (field, value) in place.as_object().unwrap() {
            target[field] = value.clone();
        }
        json!({"target": target})
    }

    #[test]
    fn every_connection_that_the_parts_make_is_allowed_at_both_ends() {
        assert_eq!(connections_that_leave(&json!({})), 0);
        assert_eq!(connections_that_leave(&target(&json!({"image": {"image": "shop:1", "port": 9000}}))), 0);
        assert_eq!(connections_that_leave(&target(&json!({"service": {"name": "shop", "port": 80}}))), 2);
        assert_eq!(connections_that_leave(&target(&json!({"url": "http://[2001:db8::1]:9000"}))), 1);
    }

    #[test]
    fn a_lab_that_needs_nothing_reaches_nothing_but_itself_and_the_names_of_hosts() {
        let (policies, _, pods) = built(&json!({}));
        assert_eq!(policies.as_array().unwrap().len(), 1);
        assert_eq!(policies[0]["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
        for pod in &pods {
            let reaches = |labels: &Value, port| {
                any_rule(&policies, "egress", &pod.labels, |rule| allows(rule, "to", labels, port))
            };
            assert!(!reaches(&json!({}), 443) && !reaches(&json!({}), 5432));
            assert!(reaches(&json!({}), 53));
            // Nobody connects to the load.
            assert!(pods.last().is_some_and(|load| !reaches(&load.labels, 8080)));
        }
    }

    #[test]
    fn a_part_that_needs_a_database_may_leave_and_no_other_part() {
        let spec = json!({"service": {"dedup": "UniqueKey", "replicas": 2, "database": {"secretKeyRef": {"name": "ledger", "key": "url"}}}});
        let (policies, _, pods) = built(&spec);
        let leaves =
            |pod: &Pod| any_rule(&policies, "egress", &pod.labels, |rule| allows(rule, "to", &json!({}), 5432));
        let parts: Vec<_> = pods.iter().filter(|pod| leaves(pod)).map(|pod| &pod.labels[names::PART_LABEL]).collect();
        assert_eq!(parts, ["payment-service"]);
    }
}
