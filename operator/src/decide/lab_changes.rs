//! Whether the pods of the payment service and the reset proxy are still the ones that the load began with.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use crate::{
    names::Part,
    observe::pods::{end_text, has_ended, is_part, is_ready, last_termination, restarts, termination_text},
};

/// Every ready pod of the lab with the restarts of its container: `UID/RESTARTS`, sorted, separated by commas.
pub(crate) fn fingerprint(pods: &[Pod]) -> String {
    let mut marks: Vec<_> = pods
        .iter()
        .filter(|pod| !is_part(pod, Part::LoadJob) && is_ready(pod))
        .map(|pod| format!("{}/{}", pod.uid().unwrap_or_default(), restarts(pod)))
        .collect();
    marks.sort();
    marks.join(",")
}

/// What happened to the pods of a fingerprint, as sentences.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LabChanges {
    /// Pods that are gone, and with them their part of the evidence.
    pub(crate) lost: Vec<String>,
    /// Pods whose container was restarted; their files are still there.
    pub(crate) restarted: Vec<String>,
}

/// Compares a fingerprint with the pods that exist now.
pub(crate) fn lab_changes(fingerprint: &str, pods: &[Pod]) -> LabChanges {
    let present: BTreeMap<String, &Pod> = pods.iter().filter_map(|pod| Some((pod.uid()?, pod))).collect();
    let mut changes = LabChanges::default();
    for mark in fingerprint.split(',').filter(|mark| !mark.is_empty()) {
        let (uid, restarts_then) = mark.rsplit_once('/').unwrap_or((mark, "0"));
        match present.get(uid) {
            None => changes.lost.push("a pod of payment-service or reset-proxy was deleted".to_owned()),
            Some(pod) if pod.metadata.deletion_timestamp.is_some() || has_ended(pod) => {
                changes.lost.push(format!("pod {} {}", pod.name_any(), end_text(pod)));
            }
            Some(pod) if restarts(pod).to_string() != restarts_then => {
                let why = last_termination(pod).map_or_else(|| "for an unknown reason".to_owned(), termination_text);
                changes.restarted.push(format!("the container of pod {} was started anew: {why}", pod.name_any()));
            }
            Some(_) => {}
        }
    }
    changes
}
