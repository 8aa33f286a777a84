//! What a pod says: which part a pod is, whether it serves, how it ended, how often its containers have. Pure.

use std::net::IpAddr;

use k8s_openapi::{
    api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod},
    jiff::Timestamp,
};
use kube::ResourceExt as _;

use super::last_words::last_words;
use crate::names::{PART_LABEL, Part, WORKER_LABEL};

/// How many characters of a message from Kubernetes or from a part are quoted in a status.
const QUOTE_LEN_MAX: usize = 400;

/// One condition of a pod.
pub(crate) struct PodCondition<'a> {
    pub(crate) holds: bool,
    pub(crate) reason: &'a str,
    pub(crate) message: &'a str,
}

/// Whether a pod runs this part.
pub(crate) fn is_part(pod: &Pod, part: Part) -> bool {
    pod.labels().get(PART_LABEL).is_some_and(|label| label == part.name())
}

/// The name of the part that a pod says it runs.
pub(crate) fn part_name(pod: &Pod) -> &str {
    pod.labels().get(PART_LABEL).map_or("no part", String::as_str)
}

/// The worker that a load pod runs.
pub(crate) fn worker(pod: &Pod) -> Option<u32> {
    pod.labels().get(WORKER_LABEL)?.parse().ok()
}

/// Whether a pod has succeeded or failed.
pub(crate) fn has_ended(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Whether a load pod's termination message can be read. The kubelet publishes the end of a container about a second before
/// the end of its pod.
pub(crate) fn has_reported(pod: &Pod) -> bool {
    has_ended(pod) || termination(pod).is_some()
}

/// Whether a pod is running and ready.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none()
        && phase(pod) == "Running"
        && condition(pod, "Ready").is_some_and(|ready| ready.holds)
}

/// How a pod's container ended, if it has.
pub(crate) fn termination(pod: &Pod) -> Option<&ContainerStateTerminated> {
    container(pod)?.state.as_ref()?.terminated.as_ref()
}

/// The status of the container that runs the pod's part, which has the part's name. A pod may have others, which a webhook of the cluster
/// has added.
pub(crate) fn container(pod: &Pod) -> Option<&ContainerStatus> {
    let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
    containers.iter().find(|container| container.name == part_name(pod))
}

/// The address of a pod, in the family that the cluster prefers.
pub(crate) fn address(pod: &Pod) -> Option<IpAddr> {
    pod.status.as_ref()?.pod_ip.as_deref()?.parse().ok()
}

/// All containers of a pod: its own, and those that a webhook of the cluster has put before or beside it.
pub(crate) fn all_containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let before = status.and_then(|status| status.init_container_statuses.as_deref()).unwrap_or_default();
    let beside = status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    before.iter().chain(beside)
}

/// How a container ended most recently, if it ever has.
pub(crate) fn last_end(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    let ended = |state: &'_ Option<ContainerState>| state.as_ref().is_some_and(|state| state.terminated.is_some());
    let state = if ended(&container.state) { &container.state } else { &container.last_state };
    state.as_ref()?.terminated.as_ref()
}

/// Whether a container comes before the part's and has ended as it should: Kubernetes calls it ready then, and no other that has ended.
pub(crate) fn has_done_its_work(container: &ContainerStatus) -> bool {
    let ended = container.state.as_ref().and_then(|state| state.terminated.as_ref());
    container.ready && ended.is_some_and(|ended| ended.exit_code == 0)
}

/// How often the containers of a pod have ended, but for those that have done their work.
pub(crate) fn ends(pod: &Pod) -> i32 {
    all_containers(pod).map(ends_of).sum()
}

fn ends_of(container: &ContainerStatus) -> i32 {
    let is_down = match container.state.as_ref() {
        Some(ContainerState { terminated: Some(_), .. }) => !has_done_its_work(container),
        Some(ContainerState { waiting: Some(_), .. }) => last_end(container).is_some(),
        _ => false,
    };
    container.restart_count + i32::from(is_down)
}

/// When a container was started that runs, and that had ended before.
pub(crate) fn restarted_at(container: &ContainerStatus) -> Option<Timestamp> {
    let running = container.state.as_ref()?.running.as_ref()?;
    running.started_at.as_ref().map(|time| time.0).filter(|_| container.restart_count > 0)
}

/// The pod's phase; empty while there is no status.
pub(crate) fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// A condition of the pod, if it has one of this type.
pub(crate) fn condition<'a>(pod: &'a Pod, kind: &'a str) -> Option<PodCondition<'a>> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let found = conditions.iter().find(|one| one.type_ == kind)?;
    Some(PodCondition {
        holds: found.status == "True",
        reason: found.reason.as_deref().unwrap_or(kind),
        message: found.message.as_deref().unwrap_or_default(),
    })
}

/// How a pod ended, as the rest of a sentence that begins with its name.
pub(crate) fn end_text(pod: &Pod) -> String {
    let status = pod.status.as_ref();
    match (status.and_then(|status| status.reason.as_deref()), termination(pod)) {
        (Some(reason), _) => {
            let message = status.and_then(|status| status.message.as_deref()).unwrap_or_default();
            format!("was terminated: {reason}{}", quoted(message))
        }
        (None, Some(termination)) => format!("has ended: {}", termination_text(termination)),
        (None, None) => "was deleted".to_owned(),
    }
}

/// How a container ended: reason, exit code and message.
pub(crate) fn termination_text(termination: &ContainerStateTerminated) -> String {
    let reason = termination.reason.as_deref().unwrap_or("Error");
    let message = last_words(termination.message.as_deref().unwrap_or_default());
    format!("{reason}, exit code {}{}", termination.exit_code, quoted(&message))
}

/// A message for the end of a sentence: a colon and its last characters, which are the most useful ones; nothing if it is empty.
pub(crate) fn quoted(message: &str) -> String {
    let message = message.trim();
    let skipped = message.chars().count().saturating_sub(QUOTE_LEN_MAX);
    let kept: String = message.chars().skip(skipped).collect();
    match (kept.is_empty(), skipped) {
        (true, _) => String::new(),
        (false, 0) => format!(": {kept}"),
        (false, _) => format!(": …{kept}"),
    }
}
