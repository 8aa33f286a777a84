//! What the load's Job says: whether and why it has ended, and when it was created. Pure.

use k8s_openapi::{api::batch::v1::Job, jiff::Timestamp};

use crate::names::LAB_ANNOTATION;

/// Whether the Job has completed or failed.
pub(crate) fn has_finished(job: &Job) -> bool {
    true_conditions(job).any(|(kind, _)| matches!(kind, "Complete" | "Failed"))
}

/// Why the Job failed, in Kubernetes' own word.
pub(crate) fn failure_reason(job: &Job) -> Option<&str> {
    true_conditions(job).find(|(kind, _)| *kind == "Failed").and_then(|(_, reason)| reason)
}

/// The fingerprint of the lab at the launch of the load, as the operator has written it; `None` if somebody has removed it.
pub(crate) fn lab_at_launch(job: &Job) -> Option<&str> {
    Some(job.metadata.annotations.as_ref()?.get(LAB_ANNOTATION)?)
}

/// When the Job was created.
pub(crate) fn created_at(job: &Job) -> Option<Timestamp> {
    job.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

/// The type and the reason of every condition that is true.
fn true_conditions(job: &Job) -> impl Iterator<Item = (&str, Option<&str>)> {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    conditions.filter(|one| one.status == "True").map(|one| (one.type_.as_str(), one.reason.as_deref()))
}
