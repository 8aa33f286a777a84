//! One reconcile of one experiment: observe, decide, act, write the status. It waits for nothing but answers of the API.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Client, ResourceExt as _,
    api::{PartialObjectMeta, PostParams},
    runtime::controller::Action,
};
use paylab_resource::{
    spec::ChaosExperiment,
    status::{ChaosExperimentStatus, ProgressStatus},
};
use tracing::{info, warn};

use crate::{
    api::{ApiError, answered},
    apply::{self, Creation},
    decide::{
        self, Decision, Timeline, decide,
        evidence::merged_report,
        waiting::{FIRST_PROGRESS, ProgressSchedule, load_age, poll_interval, progress_schedule},
    },
    desired::Settings,
    observe::{Observed, load_logs, observe},
    planned::PlannedExperiment,
    serve::Metrics,
    status::{self, StatusBuilder},
};

/// What every reconcile needs.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) settings: Settings,
    pub(crate) metrics: Arc<Metrics>,
    /// The name of this operator in Events.
    pub(crate) identity: String,
}

/// Why a reconcile has to be repeated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    /// A request to the API failed or was not answered.
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// The status to write, and when to reconcile again if nothing changes before.
struct Reconciled {
    status: ChaosExperimentStatus,
    next: Action,
}

/// Reconciles one experiment.
pub(crate) async fn reconcile(
    resource: Arc<PartialObjectMeta<ChaosExperiment>>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    let namespace = resource.namespace().unwrap_or_default();
    let api = Api::<ChaosExperiment>::namespaced(context.client.clone(), &namespace);
    let Some(resource) = answered(api.get_opt(&resource.name_any())).await? else {
        return Ok(Action::await_change());
    };
    context.metrics.record_experiment(&resource);
    if resource.metadata.deletion_timestamp.is_some() {
        // Kubernetes deletes everything that the resource owns; nothing else has to be undone.
        return Ok(Action::await_change());
    }
    match PlannedExperiment::of(&resource) {
        Err(_) if status::is_final(resource.status.as_ref()) => Ok(Action::await_change()),
        Err(refusals) => {
            let status = builder(&resource, Timestamp::now()).refused(&refusals);
            finish(&context, &api, &resource, status).await?;
            Ok(Action::await_change())
        }
        Ok(experiment) => advance(&context, &api, resource, &experiment).await,
    }
}

/// Takes a valid experiment one step further.
async fn advance(
    context: &Context,
    api: &Api<ChaosExperiment>,
    resource: ChaosExperiment,
    experiment: &PlannedExperiment,
) -> Result<Action, ReconcileError> {
    if let Some(last) = resource.status.as_ref().filter(|status| status::is_final(Some(status))) {
        return clean_up(context, experiment, last).await;
    }
    let now = Timestamp::now();
    let resource = match status::started_at(resource.status.as_ref()) {
        Some(_) => resource,
        None => publish(context, api, &resource, builder(&resource, now).preparing(experiment, None)).await?,
    };
    let observed = answered(observe(&context.client, experiment)).await?;
    let Reconciled { status, next } = act(context, &resource, experiment, &observed, now).await?;
    if status::is_final(Some(&status)) {
        finish(context, api, &resource, status.clone()).await?;
        return clean_up(context, experiment, &status).await;
    }
    publish(context, api, &resource, status).await?;
    Ok(next)
}

/// Decides and acts. What blocks the creation of an object is reported like a problem of a pod.
async fn act(
    context: &Context,
    resource: &ChaosExperiment,
    experiment: &PlannedExperiment,
    observed: &Observed,
    now: Timestamp,
) -> Result<Reconciled, ReconcileError> {
    let Context { client, settings, metrics: _, identity: _ } = context;
    let timeline = Timeline {
        started: status::started_at(resource.status.as_ref()).unwrap_or(now),
        last_phase: resource.status.as_ref().and_then(|status| status.phase),
        now,
    };
    let mut decision = decide(experiment, observed, &timeline);
    let creation = match &decision {
        Decision::CreateLab => answered(apply::create_lab(client, experiment, settings)).await?,
        Decision::LaunchLoad(lab) => answered(apply::launch_load(client, experiment, settings, observed, lab)).await?,
        Decision::AwaitReady(_) | Decision::AwaitLoad(_) | Decision::Judge | Decision::Fail(_) => Creation::Complete,
    };
    if let Creation::Blocked(problem) = creation {
        decision = decide::blocked(experiment, problem, &timeline);
    }
    let builder = builder(resource, now);
    let poll = Action::requeue(poll_interval(experiment, timeline.waited()));
    Ok(match decision {
        Decision::CreateLab => Reconciled { status: builder.preparing(experiment, None), next: poll },
        Decision::AwaitReady(problem) => {
            Reconciled { status: builder.preparing(experiment, problem.as_ref()), next: poll }
        }
        Decision::LaunchLoad(_) => {
            Reconciled { status: builder.loading(experiment, None, None), next: Action::requeue(FIRST_PROGRESS) }
        }
        Decision::AwaitLoad(problem) => {
            let (progress, next) = progress(client, experiment, observed, now).await;
            Reconciled { status: builder.loading(experiment, problem.as_ref(), progress), next }
        }
        Decision::Judge => Reconciled { status: judge(builder, experiment, observed), next: Action::await_change() },
        Decision::Fail(problem) => {
            Reconciled { status: builder.failed(experiment, &problem), next: Action::await_change() }
        }
    })
}

/// The status of an experiment whose load has ended. The workers have predicted their shares, so that this takes no time.
fn judge(builder: StatusBuilder<'_>, experiment: &PlannedExperiment, observed: &Observed) -> ChaosExperimentStatus {
    builder.judged(&experiment.outcome(merged_report(experiment, observed)))
}

/// How far the load is, if its logs say so, and when to read them again.
async fn progress(
    client: &Client,
    experiment: &PlannedExperiment,
    observed: &Observed,
    now: Timestamp,
) -> (Option<ProgressStatus>, Action) {
    let age = observed.job.as_ref().map_or(Duration::ZERO, |job| load_age(job, now));
    match progress_schedule(age) {
        ProgressSchedule::Later(wait) => (None, Action::requeue(wait)),
        ProgressSchedule::Now { next } => {
            let logs = load_logs(client, experiment, observed).await;
            (decide::progress(experiment, &logs), Action::requeue(next))
        }
    }
}

/// Deletes the lab of an experiment that has ended, unless it is to be kept.
async fn clean_up(
    context: &Context,
    experiment: &PlannedExperiment,
    last: &ChaosExperimentStatus,
) -> Result<Action, ReconcileError> {
    if !status::keeps_lab(experiment.spec.retain, last) {
        answered(apply::delete_lab(&context.client, experiment)).await?;
    }
    Ok(Action::await_change())
}

/// Reports the end of an experiment: first in an Event, which a repeated reconcile does not create twice, then in the status.
async fn finish(
    context: &Context,
    api: &Api<ChaosExperiment>,
    resource: &ChaosExperiment,
    status: ChaosExperimentStatus,
) -> Result<(), ReconcileError> {
    answered(apply::emit(&context.client, resource, &status, &context.identity)).await?;
    let published = publish(context, api, resource, status).await?;
    context.metrics.record_end(&published);
    let outcome = published.status.as_ref().and_then(|status| status.message.as_deref()).unwrap_or_default();
    info!(namespace = published.namespace(), name = published.name_any(), outcome, "experiment ended");
    Ok(())
}

/// Writes the status if it says something new. The API server refuses the write if the resource has changed meanwhile.
async fn publish(
    context: &Context,
    api: &Api<ChaosExperiment>,
    resource: &ChaosExperiment,
    status: ChaosExperimentStatus,
) -> Result<ChaosExperiment, ReconcileError> {
    if resource.status.as_ref() == Some(&status) {
        return Ok(resource.clone());
    }
    let mut changed = resource.clone();
    changed.metadata.managed_fields = None;
    changed.status = Some(status);
    let published = answered(api.replace_status(&resource.name_any(), &PostParams::default(), &changed)).await?;
    context.metrics.record_experiment(&published);
    Ok(published)
}

/// When to repeat a reconcile that failed.
pub(crate) fn after_error(
    resource: Arc<PartialObjectMeta<ChaosExperiment>>,
    error: &ReconcileError,
    context: Arc<Context>,
) -> Action {
    const CONFLICT_PAUSE: Duration = Duration::from_millis(100);
    const ERROR_PAUSE: Duration = Duration::from_secs(2);
    match error {
        // Somebody else has changed the resource meanwhile; the next reconcile reads it again.
        ReconcileError::Api(ApiError::Request(kube::Error::Api(status))) if status.is_conflict() => {
            Action::requeue(CONFLICT_PAUSE)
        }
        error => {
            context.metrics.record_error();
            warn!(namespace = resource.namespace(), name = resource.name_any(), %error, "reconcile failed");
            Action::requeue(ERROR_PAUSE)
        }
    }
}

fn builder(resource: &ChaosExperiment, now: Timestamp) -> StatusBuilder<'_> {
    StatusBuilder { previous: resource.status.as_ref(), generation: resource.metadata.generation, now }
}
