//! Where the pods of a lab run, and what the cluster's owner writes on them.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{PodSpec, PodTemplateSpec, TopologySpreadConstraint},
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta},
};

use crate::parts::Parts;

/// The template of a pod with these labels of the operator's, which nobody can replace.
pub(super) fn placed(parts: &Parts, labels: BTreeMap<String, String>, pod: PodSpec) -> PodTemplateSpec {
    let spread = parts.topology_spread_constraints.iter().map(|constraint| over(constraint, &labels)).collect();
    let pod = PodSpec {
        node_selector: (!parts.node_selector.is_empty()).then(|| parts.node_selector.clone()),
        tolerations: some(parts.tolerations.clone()),
        affinity: parts.affinity.clone(),
        topology_spread_constraints: some(spread),
        priority_class_name: parts.priority_class_name.clone().filter(|name| !name.is_empty()),
        service_account_name: parts.service_account_name.clone().filter(|name| !name.is_empty()),
        ..pod
    };
    let mut all = parts.pod_labels.clone();
    all.extend(labels);
    let annotations = (!parts.pod_annotations.is_empty()).then(|| parts.pod_annotations.clone());
    PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(all), annotations, ..ObjectMeta::default() }),
        spec: Some(pod),
    }
}

/// A constraint without a selector counts nothing in Kubernetes. Here it counts the pods of the same part of the same run, whose labels no
/// user can know beforehand.
fn over(constraint: &TopologySpreadConstraint, labels: &BTreeMap<String, String>) -> TopologySpreadConstraint {
    let own = || LabelSelector { match_labels: Some(labels.clone()), ..LabelSelector::default() };
    TopologySpreadConstraint {
        label_selector: Some(constraint.label_selector.clone().unwrap_or_else(own)),
        ..constraint.clone()
    }
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}
