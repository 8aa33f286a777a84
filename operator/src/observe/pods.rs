//! What pods tell of themselves: whether they serve, what keeps them from it, and whether they are still the same. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod},
};
use kube::ResourceExt as _;

use crate::names::{PART_LABEL, Part, SHARD_LABEL};

/// So much of what others say fits a status, in characters.
const SAID_LEN_MAX: usize = 400;
/// Kubernetes' word for a container that ends again and again; it says so only while it waits.
const CRASHING: &str = "CrashLoopBackOff";
/// A container that has been started anew so often will not get better.
const RESTARTS_BORNE: i32 = 3;

/// What keeps a pod from its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// One word, as Kubernetes says it where it has one.
    pub(crate) reason: String,
    /// The whole story, with the pod's name.
    pub(crate) message: String,
    pub(crate) patience: Patience,
}

/// How long a trouble may last before there is no hope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Patience {
    /// It does not go away by itself.
    None,
    /// It may be a hiccup.
    Short,
    /// A cluster may need minutes to mend it: as long as the experiment allows.
    Long,
}

impl Trouble {
    pub(crate) fn new(reason: &str, message: impl Into<String>, patience: Patience) -> Self {
        Self { reason: reason.to_owned(), message: message.into(), patience }
    }
}

/// Which part a pod is.
pub(crate) fn is(pod: &Pod, part: Part) -> bool {
    pod.labels().get(PART_LABEL).is_some_and(|label| label == part.name())
}

/// Which share of the load a pod sends.
pub(crate) fn shard(pod: &Pod) -> Option<u32> {
    pod.labels().get(SHARD_LABEL)?.parse().ok()
}

/// Whether a pod has run to its end, well or not.
pub(crate) fn has_ended(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Whether a load pod has said its last words: the kubelet tells that its container has ended about a second before it tells
/// that the pod has.
pub(crate) fn has_reported(pod: &Pod) -> bool {
    has_ended(pod) || ending(pod).is_some()
}

/// Whether a pod does its work.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none()
        && phase(pod) == "Running"
        && condition(pod, "Ready").is_some_and(|ready| ready.0)
}

/// How a pod's container ended.
pub(crate) fn ending(pod: &Pod) -> Option<&ContainerStateTerminated> {
    container(pod)?.state.as_ref()?.terminated.as_ref()
}

/// Every ready pod of the lab with the restarts of its container: `UID/RESTARTS`, in order, with commas between.
pub(crate) fn fingerprint(pods: &[Pod]) -> String {
    let mut marks: Vec<_> = pods
        .iter()
        .filter(|pod| !is(pod, Part::LoadJob) && is_ready(pod))
        .map(|pod| format!("{}/{}", pod.uid().unwrap_or_default(), restarts(pod)))
        .collect();
    marks.sort();
    marks.join(",")
}

/// What has become of the pods of a fingerprint: what was lost with everything it knew, and what was started anew.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Changes {
    pub(crate) lost: Vec<String>,
    pub(crate) restarted: Vec<String>,
}

/// Holds a fingerprint against the pods of today.
pub(crate) fn changes(fingerprint: &str, pods: &[Pod]) -> Changes {
    let today: BTreeMap<String, &Pod> = pods.iter().filter_map(|pod| Some((pod.uid()?, pod))).collect();
    let mut changes = Changes::default();
    for mark in fingerprint.split(',').filter(|mark| !mark.is_empty()) {
        let (uid, restarts_then) = mark.rsplit_once('/').unwrap_or((mark, "0"));
        match today.get(uid) {
            None => changes.lost.push("a pod of payment-service or reset-proxy was deleted".to_owned()),
            Some(pod) if pod.metadata.deletion_timestamp.is_some() || has_ended(pod) => {
                changes.lost.push(format!("pod {} {}", pod.name_any(), end_text(pod)));
            }
            Some(pod) if restarts(pod).to_string() != restarts_then => {
                let last = container(pod).and_then(|container| container.last_state.as_ref()?.terminated.as_ref());
                let why = last.map_or_else(|| "for an unknown reason".to_owned(), terminated_text);
                changes.restarted.push(format!("the container of pod {} was started anew: {why}", pod.name_any()));
            }
            Some(_) => {}
        }
    }
    changes
}

/// How a pod ended, for a sentence that begins with its name.
pub(crate) fn end_text(pod: &Pod) -> String {
    let status = pod.status.as_ref();
    match (status.and_then(|status| status.reason.as_deref()), ending(pod)) {
        (Some(reason), _) => {
            let more = status.and_then(|status| status.message.as_deref()).unwrap_or_default();
            format!("was ended: {reason}{}", told(more))
        }
        (None, Some(ended)) => format!("has ended: {}", terminated_text(ended)),
        (None, None) => "was deleted".to_owned(),
    }
}

/// What keeps the worst of these pods from its work.
pub(crate) fn worst(pods: &[Pod]) -> Option<Trouble> {
    pods.iter().filter_map(trouble).min_by_key(|trouble| trouble.patience)
}

/// What keeps a Deployment from making its pods at all, such as a quota.
pub(crate) fn not_made(deployment: &Deployment) -> Option<Trouble> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let failure = conditions.iter().find(|one| one.type_ == "ReplicaFailure" && one.status == "True")?;
    let reason = failure.reason.as_deref().unwrap_or("FailedCreate");
    let message = format!("pods of {} cannot be made{}", deployment.name_any(), told(failure.message.as_deref()?));
    Some(Trouble::new(reason, message, Patience::Short))
}

fn trouble(pod: &Pod) -> Option<Trouble> {
    if pod.metadata.deletion_timestamp.is_some() || is_ready(pod) {
        return None;
    }
    let name = pod.name_any();
    if phase(pod) == "Failed" {
        let reason = pod.status.as_ref().and_then(|status| status.reason.as_deref()).unwrap_or("PodFailed");
        return Some(Trouble::new(reason, format!("pod {name} {}", end_text(pod)), Patience::Short));
    }
    if let Some((false, reason, message)) = condition(pod, "PodScheduled") {
        return Some(Trouble::new(reason, format!("pod {name} has no node{}", told(message)), Patience::Long));
    }
    waiting(&name, container(pod)?)
}

fn waiting(name: &str, container: &ContainerStatus) -> Option<Trouble> {
    let ContainerState { waiting, terminated, .. } = container.state.as_ref()?;
    let last = terminated.as_ref().or(container.last_state.as_ref().and_then(|last| last.terminated.as_ref()));
    let Some(waiting) = waiting else {
        let starting = format!("pod {name} runs and is not ready yet");
        let young = || Trouble::new("NotReady", starting, Patience::Long);
        // Between two ends it runs for a moment, or has just ended again.
        return (!container.ready).then(|| last.map_or_else(young, |last| crashing(name, container, last)));
    };
    let reason = waiting.reason.as_deref().unwrap_or("Waiting");
    if let (CRASHING, Some(last)) = (reason, last) {
        return Some(crashing(name, container, last));
    }
    let said = told(waiting.message.as_deref().unwrap_or_default());
    let (patience, message) = match reason {
        "InvalidImageName" | "ErrImageNeverPull" => (Patience::None, format!("pod {name} cannot have its image{said}")),
        "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable" => {
            (Patience::Short, format!("pod {name} cannot have its image{said}"))
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            (Patience::Short, format!("pod {name} cannot be started{said}"))
        }
        // ContainerCreating, PodInitializing: it is on its way.
        _ => (Patience::Long, format!("pod {name} is being started ({reason}){said}")),
    };
    Some(Trouble::new(reason, message, patience))
}

/// It ends whenever it has started, as the reason of its last end says.
fn crashing(name: &str, container: &ContainerStatus, last: &ContainerStateTerminated) -> Trouble {
    let patience = if container.restart_count >= RESTARTS_BORNE { Patience::Short } else { Patience::Long };
    Trouble::new(CRASHING, format!("pod {name} ends as soon as it starts: {}", terminated_text(last)), patience)
}

fn terminated_text(ended: &ContainerStateTerminated) -> String {
    let reason = ended.reason.as_deref().unwrap_or("Error");
    let message = ended.message.as_deref().unwrap_or_default();
    format!("{reason}, exit code {}{}", ended.exit_code, told(message))
}

/// What somebody said, cut to a length that a status can hold, for the end of a sentence. The last words matter most.
fn told(text: &str) -> String {
    let text = text.trim();
    let skipped = text.chars().count().saturating_sub(SAID_LEN_MAX);
    let kept: String = text.chars().skip(skipped).collect();
    match (kept.is_empty(), skipped) {
        (true, _) => String::new(),
        (false, 0) => format!(": {kept}"),
        (false, _) => format!(": …{kept}"),
    }
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

fn container(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}

fn restarts(pod: &Pod) -> i32 {
    container(pod).map_or(0, |container| container.restart_count)
}

/// Whether a condition is true, its reason and its message.
fn condition<'a>(pod: &'a Pod, kind: &'a str) -> Option<(bool, &'a str, &'a str)> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let one = conditions.iter().find(|one| one.type_ == kind)?;
    Some((one.status == "True", one.reason.as_deref().unwrap_or(kind), one.message.as_deref().unwrap_or_default()))
}
