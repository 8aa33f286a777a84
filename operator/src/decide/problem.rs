//! What keeps a pod from becoming ready or from being trusted, or an object from being created, and how long to wait for it to go away.

use std::time::Duration;

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod},
    },
    apimachinery::pkg::util::intstr::IntOrString,
    jiff::Timestamp,
};
use kube::{ResourceExt as _, core::Status};

use crate::{
    api::ApiError,
    names::{PART_LABEL, Part},
    observe::{
        Observed,
        pods::{
            all_containers, condition, container, end_text, has_done_its_work, is_part, is_ready, last_end, part_name,
            phase, quoted, restarted_at, termination_text,
        },
    },
};

/// Kubernetes' reason for a container that exits again and again. It is reported only while the container waits for a restart.
const CRASHING: &str = "CrashLoopBackOff";
/// A container that was restarted this often is given up soon.
const RESTARTS_TOLERATED: i32 = 3;
/// For so long a container that has ended must run again until its pod is trusted to go on: as long as Kubernetes waits at first before it
/// starts one anew. One that crashes runs for a moment between two ends, and its pod is ready then.
const STEADY_AFTER: Duration = Duration::from_secs(10);

/// Kubernetes' reason for a container that waits for those before it.
const INITIALIZING: &str = "PodInitializing";
/// Kubernetes' reason for pods that a controller cannot create.
const FAILED_CREATE: &str = "FailedCreate";
/// The reason of a condition where nobody gives one, or one that a condition may not have.
const OTHER_REASON: &str = "ApiError";
/// Kubernetes allows no longer reason of a condition.
const REASON_LEN_MAX: usize = 1024;

/// What keeps a pod from becoming ready, or an object from being created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PodProblem {
    /// The reason of a condition: Kubernetes' own word where it has one.
    pub(crate) reason: String,
    /// A sentence with the name of the pod or object.
    pub(crate) message: String,
    pub(crate) tolerance: Tolerance,
}

/// How long a problem may last before the operator gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tolerance {
    /// It does not go away by itself.
    None,
    /// It may be temporary.
    Short,
    /// A cluster may need minutes to resolve it: as long as `spec.activeDeadline` allows.
    Long,
}

impl PodProblem {
    pub(crate) fn new(reason: &str, message: impl Into<String>, tolerance: Tolerance) -> Self {
        let reason = if is_condition_reason(reason) { reason } else { OTHER_REASON };
        Self { reason: reason.to_owned(), message: message.into(), tolerance }
    }

    /// Whether it may go away by itself soon.
    pub(crate) fn may_pass(&self) -> bool {
        self.tolerance == Tolerance::Long
    }

    /// The API server has answered a request for an object with an error, perhaps because a webhook or a policy of the cluster has.
    pub(crate) fn refused(object: &str, status: &Status) -> Self {
        // What a client must not ask for stays wrong; what a server cannot do may be possible later.
        let tolerance = if status.code < 500 && status.code != 429 { Tolerance::Short } else { Tolerance::Long };
        let said = if status.message.is_empty() { format!("status {}", status.code) } else { status.message.clone() };
        Self::new(&status.reason, format!("the API server refuses {object}: {said}"), tolerance)
    }

    /// A request to the API has failed again and again.
    pub(crate) fn of_api(error: &ApiError) -> Self {
        match error {
            ApiError::Request(kube::Error::Api(status)) => Self::refused("a request of the operator", status),
            ApiError::Request(_) | ApiError::Timeout => Self::new(
                OTHER_REASON,
                format!("a request to the API server has failed: {}", error.in_words()),
                Tolerance::Long,
            ),
        }
    }

    /// An object of an earlier run still has one of this run's names.
    pub(crate) fn former_run() -> Self {
        let message = "the parts of an earlier experiment with this name are still being deleted";
        Self::new("FormerRun", message, Tolerance::Long)
    }

    /// An object of an earlier run has one of this run's names, and Kubernetes will not delete it.
    pub(crate) fn orphan(kind: &str, namespace: &str, name: &str) -> Self {
        let resource = kind.to_lowercase();
        let message = format!(
            "the {kind} {name} is left of an earlier experiment with this name, which was deleted with --cascade=orphan; delete it with everything that it owns: kubectl delete {resource} {name} --namespace {namespace}"
        );
        Self::new("Orphaned", message, Tolerance::Short)
    }

    /// An object that is not ours has one of this run's names.
    pub(crate) fn name_taken(kind: &str, name: Option<&str>) -> Self {
        let name = name.unwrap_or_default();
        let message = format!(
            "a {kind} named {name} already exists and does not belong to Paylab; delete it, or give the experiment another name"
        );
        Self::new("NameTaken", message, Tolerance::None)
    }
}

/// Whether a condition may have this reason. Otherwise the API server would refuse the whole status.
fn is_condition_reason(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_,:".contains(&byte);
    text.len() <= REASON_LEN_MAX
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.ends_with(|last: char| last.is_ascii_alphanumeric() || last == '_')
        && text.bytes().all(is_inner)
}

/// Of the problems of these pods, the one that is tolerated least. The proxy is not ready while the service is not, so that it is named only
/// if nothing else is wrong.
pub(crate) fn worst<'a>(pods: impl IntoIterator<Item = &'a Pod>) -> Option<PodProblem> {
    let is_proxy = |pod: &Pod| pod.labels().get(PART_LABEL).is_some_and(|part| part == Part::ResetProxy.name());
    let problems = pods.into_iter().filter_map(|pod| Some((of_pod(pod)?, is_proxy(pod))));
    let worst = problems.min_by_key(|(problem, is_of_proxy)| (problem.tolerance, *is_of_proxy));
    worst.map(|(problem, _)| problem)
}

/// A container that was started anew a moment ago, though its pod is ready. It may end again in mid-load, or go on.
pub(crate) fn unsteady<'a>(pods: impl IntoIterator<Item = &'a Pod>, now: Timestamp) -> Option<PodProblem> {
    pods.into_iter().filter(|pod| is_ready(pod)).find_map(|pod| {
        // A node whose clock is far ahead would never be trusted.
        let is_new = |container: &ContainerStatus| {
            restarted_at(container).is_some_and(|started| now.duration_since(started).unsigned_abs() < STEADY_AFTER)
        };
        let container = all_containers(pod).find(|container| is_new(container))?;
        let why = last_end(container).map(|end| format!(": {}", termination_text(end))).unwrap_or_default();
        let message = format!(
            "{} was started anew a moment ago{why}; the load begins when it has run for {} s",
            subject(pod, container),
            STEADY_AFTER.as_secs()
        );
        Some(PodProblem::new("Restarted", message, Tolerance::Long))
    })
}

/// What keeps a Deployment from creating its pods, such as a quota.
pub(crate) fn of_deployment(deployment: &Deployment) -> Option<PodProblem> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let failure = conditions.iter().find(|one| one.type_ == "ReplicaFailure" && one.status == "True")?;
    let reason = failure.reason.as_deref().unwrap_or(FAILED_CREATE);
    let message = format!("pods of {} cannot be created{}", deployment.name_any(), quoted(failure.message.as_deref()?));
    Some(PodProblem::new(reason, message, Tolerance::Short))
}

/// What keeps the load's Job from creating its pods, such as a quota.
pub(crate) fn of_load(observed: &Observed) -> Option<PodProblem> {
    let why = quoted(observed.load_refusal.as_deref()?);
    Some(PodProblem::new(FAILED_CREATE, format!("pods of the load cannot be created{why}"), Tolerance::Short))
}

fn of_pod(pod: &Pod) -> Option<PodProblem> {
    if pod.metadata.deletion_timestamp.is_some() || is_ready(pod) {
        return None;
    }
    let name = pod.name_any();
    if phase(pod) == "Failed" {
        let reason = pod.status.as_ref().and_then(|status| status.reason.as_deref()).unwrap_or("PodFailed");
        return Some(PodProblem::new(reason, format!("pod {name} {}", end_text(pod)), Tolerance::Short));
    }
    if let Some(scheduled) = condition(pod, "PodScheduled").filter(|scheduled| !scheduled.holds) {
        let message = format!("pod {name} cannot be scheduled{}", quoted(scheduled.message));
        return Some(PodProblem::new(scheduled.reason, message, Tolerance::Long));
    }
    let own = container(pod);
    let problem = own.and_then(|own| of_container(&subject(pod, own), &awaited(pod), own));
    if problem.as_ref().is_some_and(|problem| problem.reason != INITIALIZING) || (is_load(pod) && is_running(own)) {
        return problem;
    }
    of_added_container(pod).or(problem)
}

fn is_load(pod: &Pod) -> bool {
    is_part(pod, Part::LoadJob)
}

/// Whether a container runs. A load that runs needs no other container to end.
fn is_running(container: Option<&ContainerStatus>) -> bool {
    container.and_then(|container| container.state.as_ref()).is_some_and(|state| state.running.is_some())
}

/// What is wrong with a container beside the part's, or before it, such as one that a webhook of the cluster has added. The pod is not ready
/// without it.
fn of_added_container(pod: &Pod) -> Option<PodProblem> {
    all_containers(pod).filter(|container| container.name != part_name(pod)).find_map(|container| {
        let problem = of_container(&subject(pod, container), "", container).filter(|_| !has_done_its_work(container));
        problem.filter(|problem| problem.reason != INITIALIZING)
    })
}

/// How messages speak of a container: of the part's by its pod.
fn subject(pod: &Pod, container: &ContainerStatus) -> String {
    let name = pod.name_any();
    if container.name == part_name(pod) {
        format!("pod {name}")
    } else {
        format!("container {} of pod {name}", container.name)
    }
}

/// What keeps a container from becoming ready, of which messages speak as `subject`; `awaited` is what it must do to become ready.
fn of_container(subject: &str, awaited: &str, container: &ContainerStatus) -> Option<PodProblem> {
    let last = last_end(container);
    let ContainerState { waiting, running: _, terminated: _ } = container.state.as_ref()?;
    let Some(waiting) = waiting else {
        let message = || format!("{subject} is running but not ready{awaited}");
        let not_ready = || PodProblem::new("NotReady", message(), Tolerance::Long);
        // A container that crashes runs for a moment between two ends.
        return (!container.ready).then(|| last.map_or_else(not_ready, |last| crashing(subject, container, last)));
    };
    let reason = waiting.reason.as_deref().unwrap_or("Waiting");
    if let (CRASHING, Some(last)) = (reason, last) {
        return Some(crashing(subject, container, last));
    }
    let detail = quoted(waiting.message.as_deref().unwrap_or_default());
    let (tolerance, message) = match reason {
        "InvalidImageName" | "ErrImageNeverPull" => {
            (Tolerance::None, format!("the image of {subject} cannot be used{detail}"))
        }
        "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable" => {
            (Tolerance::Short, format!("the image of {subject} cannot be pulled{detail}"))
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            (Tolerance::Short, format!("{subject} cannot be started{detail}"))
        }
        // Such as ContainerCreating and PodInitializing, which every pod passes through.
        _ => (Tolerance::Long, format!("{subject} is starting ({reason}){detail}")),
    };
    Some(PodProblem::new(reason, message, tolerance))
}

/// What a pod must do to become ready, for the end of a sentence; nothing if it is not said.
fn awaited(pod: &Pod) -> String {
    let container = pod.spec.as_ref().and_then(|spec| spec.containers.iter().find(|one| one.name == part_name(pod)));
    let probe = container.and_then(|it| it.startup_probe.as_ref().or(it.readiness_probe.as_ref()));
    let port = |port: &IntOrString| match port {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(name) => name.clone(),
    };
    match probe.map(|probe| (&probe.http_get, &probe.tcp_socket)) {
        Some((Some(get), _)) => {
            let path = get.path.as_deref().unwrap_or("/");
            format!(": GET {path} at its port {} is not answered with 2xx or 3xx", port(&get.port))
        }
        Some((None, Some(socket))) => format!(": its port {} accepts no connections", port(&socket.port)),
        Some((None, None)) | None => String::new(),
    }
}

/// A container that exits after every start.
fn crashing(subject: &str, container: &ContainerStatus, last: &ContainerStateTerminated) -> PodProblem {
    let tolerance = if container.restart_count >= RESTARTS_TOLERATED { Tolerance::Short } else { Tolerance::Long };
    PodProblem::new(CRASHING, format!("{subject} exits after every start: {}", termination_text(last)), tolerance)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::{pod, ready};

    /// The problem of a pod whose own container serves and whose pod is not ready, with further statuses.
    fn beside(part: Part, further: &Value) -> Option<PodProblem> {
        let mut status = ready();
        status["conditions"][0]["status"] = json!("False");
        status["containerStatuses"][0]["state"] = json!({"running": {}});
        for (field, added) in further.as_object().unwrap() {
            let statuses = status.as_object_mut().unwrap().entry(field).or_insert(json!([])).as_array_mut().unwrap();
            statuses.push(added.clone());
        }
        worst([&pod(part, "one", status)])
    }

    fn added(state: &Value, restarts: i32) -> Value {
        json!({"name": "a-proxy", "image": "", "imageID": "", "ready": false, "restartCount": restarts, "state": state,
            "lastState": {"terminated": {"exitCode": 3, "reason": "Error", "message": "no control plane"}}})
    }

    #[test]
    fn a_container_that_was_added_is_named_where_the_part_waits_for_it() {
        let crash = added(&json!({"waiting": {"reason": "CrashLoopBackOff"}}), 3);
        let unpulled = added(&json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}), 0);
        let beside_service = |status: &Value| beside(Part::PaymentService, &json!({"containerStatuses": status}));
        let told = |problem: Option<PodProblem>| problem.map(|problem| (problem.tolerance, problem.message)).unwrap();
        assert_eq!(
            told(beside_service(&crash)),
            (
                Tolerance::Short,
                "container a-proxy of pod one exits after every start: Error, exit code 3: no control plane".to_owned()
            )
        );
        assert_eq!(
            told(beside_service(&unpulled)),
            (Tolerance::Short, "the image of container a-proxy of pod one cannot be pulled: no such image".to_owned())
        );
        // One that comes before the part's, which waits meanwhile.
        let mut before = beside(Part::ResetProxy, &json!({"initContainerStatuses": crash}));
        assert!(told(before.take()).1.starts_with("container a-proxy of pod one exits"));
        let mut done = added(&json!({"terminated": {"exitCode": 0, "reason": "Completed"}}), 0);
        done["ready"] = json!(true);
        assert_eq!(beside(Part::ResetProxy, &json!({"initContainerStatuses": done})), None);
        // A load that runs comes to its end without it.
        assert_eq!(beside(Part::LoadJob, &json!({"containerStatuses": crash})), None);
    }

    #[test]
    fn a_reason_that_a_condition_may_not_have_is_replaced_or_the_status_could_not_be_written() {
        let reason = |reason: &str| PodProblem::new(reason, "", Tolerance::None).reason;
        for kept in ["Forbidden", "A", "Failed_create,x:y1", "ends_"] {
            assert_eq!(reason(kept), kept);
        }
        for replaced in ["", "denied by policy", "1st", "Ends:", "no-dashes", "Ü", &"x".repeat(REASON_LEN_MAX + 1)] {
            assert_eq!(reason(replaced), OTHER_REASON, "{replaced}");
        }
    }
}
