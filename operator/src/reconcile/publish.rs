//! What a reconcile writes into the status of an experiment, each news first as an Event.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, ResourceExt as _,
    api::{ApiResource, DynamicObject, PartialObjectMeta, PostParams},
};
use paylab_core::field_error::FieldError;
use paylab_resource::{spec::ChaosExperiment, status::ChaosExperimentStatus};
use serde_json::json;
use tracing::info;

use super::{Context, ReconcileError};
use crate::{
    api::answered,
    apply,
    decide::Timeline,
    status::{self, StatusBuilder},
};

/// Reports the end of an experiment.
pub(super) async fn finish(
    context: &Context,
    api: &Api<ChaosExperiment>,
    resource: &ChaosExperiment,
    status: ChaosExperimentStatus,
) -> Result<ChaosExperiment, ReconcileError> {
    let published = publish(context, api, resource, status).await?;
    context.queue.leave(&(published.namespace().unwrap_or_default(), published.name_any()));
    report_end(context, &published);
    Ok(published)
}

/// Gives up the place of an experiment that was found to have ended. If it had one, the answer to the write of its end was lost, and nobody has
/// reported its end.
pub(super) fn leave(context: &Context, resource: &ChaosExperiment) {
    if context.queue.leave(&(resource.namespace().unwrap_or_default(), resource.name_any())) {
        report_end(context, resource);
    }
}

fn report_end(context: &Context, ended: &ChaosExperiment) {
    context.metrics.record_end(ended);
    let outcome = ended.status.as_ref().and_then(|status| status.message.as_deref()).unwrap_or_default();
    info!(namespace = ended.namespace(), name = ended.name_any(), outcome, "experiment ended");
}

/// Writes the status if it says something new: another phase or reason first in an Event, which a repeated reconcile does not create twice. The
/// status counts, so it is written even if the Event cannot be. The API server refuses the write if the resource has changed meanwhile.
pub(super) async fn publish(
    context: &Context,
    api: &Api<ChaosExperiment>,
    resource: &ChaosExperiment,
    status: ChaosExperimentStatus,
) -> Result<ChaosExperiment, ReconcileError> {
    if resource.status.as_ref() == Some(&status) {
        return Ok(resource.clone());
    }
    if apply::is_news(resource.status.as_ref(), &status) {
        apply::emit(&context.client, resource, &status, &context.identity).await;
    }
    let mut changed = resource.clone();
    changed.metadata.managed_fields = None;
    changed.status = Some(status);
    let published = answered(api.replace_status(&resource.name_any(), &PostParams::default(), &changed)).await?;
    context.metrics.record_experiment(&published);
    Ok(published)
}

/// Refuses a resource that this operator cannot read, such as one of a newer release.
pub(super) async fn refuse_unreadable(
    context: &Context,
    resource: &PartialObjectMeta<ChaosExperiment>,
    error: &serde_json::Error,
) -> Result<(), ReconcileError> {
    let namespace = resource.namespace().unwrap_or_default();
    let definition = ApiResource::erase::<ChaosExperiment>(&());
    let api = Api::<DynamicObject>::namespaced_with(context.client.clone(), &namespace, &definition);
    let Some(mut stored) = answered(api.get_opt(&resource.name_any())).await? else {
        return Ok(());
    };
    context.queue.leave(&(namespace, resource.name_any()));
    if stored.data.pointer("/status/completionTime").is_some_and(|time| !time.is_null()) {
        return Ok(());
    }
    let version = env!("CARGO_PKG_VERSION");
    let problem = format!(
        "cannot be read by this operator, which is of release {version}: {error}; if a newer release has stored it, upgrade the operator, otherwise delete it"
    );
    let builder = StatusBuilder { previous: None, generation: stored.metadata.generation, now: Timestamp::now() };
    let status = builder.refused(&[FieldError::new("spec", problem)]);
    apply::emit(&context.client, resource, &status, &context.identity).await;
    stored.data["status"] = json!(status);
    answered(api.replace_status(&resource.name_any(), &PostParams::default(), &stored)).await?;
    Ok(())
}

pub(super) fn builder(resource: &ChaosExperiment, now: Timestamp) -> StatusBuilder<'_> {
    StatusBuilder { previous: resource.status.as_ref(), generation: resource.metadata.generation, now }
}

pub(super) fn elapsed(since: Option<Timestamp>, now: Timestamp) -> Duration {
    since.map_or(Duration::ZERO, |since| Duration::try_from(now.duration_since(since)).unwrap_or_default())
}

pub(super) fn timeline(resource: &ChaosExperiment, now: Timestamp) -> Timeline {
    let status = resource.status.as_ref();
    Timeline {
        started: status::started_at(status).unwrap_or(now),
        last_phase: status.and_then(|status| status.phase),
        launched: status::launched_at(status),
        now,
    }
}
