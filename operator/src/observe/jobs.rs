//! What the load's Job says: whether and why it has ended. Pure.

use k8s_openapi::api::batch::v1::Job;

use crate::names::LAB_ANNOTATION;

/// Whether the Job has completed or failed.
pub(crate) fn has_finished(job: &Job) -> bool {
    true_conditions(job).any(|(kind, _)| matches!(kind, "Complete" | "Failed"))
}

/// Whether the Job controller has looked at the Job and has created fewer pods than it needs for so many workers.
pub(crate) fn lacks_pods(job: &Job, workers: u32) -> bool {
    let Some(status) = job.status.as_ref().filter(|status| status.start_time.is_some()) else { return false };
    let created = [status.active, status.succeeded, status.failed].into_iter().flatten().sum::<i32>();
    !has_finished(job) && i64::from(created) < i64::from(workers)
}

/// Why the Job failed, in Kubernetes' own word.
pub(crate) fn failure_reason(job: &Job) -> Option<&str> {
    true_conditions(job).find(|(kind, _)| *kind == "Failed").and_then(|(_, reason)| reason)
}

/// The fingerprint of the lab at the launch of the load, as the operator has written it; `None` if somebody has removed it.
pub(crate) fn lab_at_launch(job: &Job) -> Option<&str> {
    Some(job.metadata.annotations.as_ref()?.get(LAB_ANNOTATION)?)
}

/// The type and the reason of every condition that is true.
fn true_conditions(job: &Job) -> impl Iterator<Item = (&str, Option<&str>)> {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    conditions.filter(|one| one.status == "True").map(|one| (one.type_.as_str(), one.reason.as_deref()))
}
