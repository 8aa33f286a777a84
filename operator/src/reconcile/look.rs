//! A look at the cluster itself, by reads that are as new as the API server's answers, and what is done after it. Everything that is evidence and
//! everything that cannot be taken back stands on a look: that a load is launched, that it is judged, that a lab is removed.

use std::time::Duration;

use k8s_openapi::{api::core::v1::ConfigMap, jiff::Timestamp};
use kube::{Api, ResourceExt as _, api::PartialObjectMeta, runtime::controller::Action};
use paylab_resource::{
    spec::ChaosExperiment,
    status::{ChaosExperimentStatus, ProgressStatus},
};
use tokio::time::Instant;
use tracing::warn;

use super::{
    Context, Occasion, ReconcileError, Reconciled,
    publish::{builder, elapsed, finish, leave, publish, refuse_unreadable, timeline},
};
use crate::{
    api::{ApiError, answered},
    apply::{self, Creation},
    decide::{
        self, Decision, PodProblem, Timeline, decide,
        evidence::merged_report,
        waiting::{
            FIRST_PROGRESS, GLANCE_AGAIN, LOOK_AGAIN, LOOK_AGAIN_SOON, LOOK_AGAIN_UNWATCHED, next_limit,
            progress_interval,
        },
    },
    memory::{Kept, Known, UnderWay},
    observe::{Observed, Ownership, load_logs, observe},
    planned::PlannedExperiment,
    queue::{Ticket, Turn},
    status,
};

/// Looks at an experiment, and does what is to be done.
pub(super) async fn look(
    context: &Context,
    asked: &PartialObjectMeta<ChaosExperiment>,
    occasion: Occasion,
) -> Result<Reconciled, ReconcileError> {
    let namespace = asked.namespace().unwrap_or_default();
    let gone = Reconciled { known: None, next: Action::await_change() };
    let settled = Reconciled { known: Some(Known::Settled), next: Action::await_change() };
    let api = Api::<ChaosExperiment>::namespaced(context.client.clone(), &namespace);
    let resource = match answered(api.get_opt(&asked.name_any())).await {
        Ok(Some(resource)) => resource,
        Ok(None) => {
            context.queue.leave(&(namespace, asked.name_any()));
            return Ok(gone);
        }
        Err(ApiError::Request(kube::Error::SerdeError(error))) => {
            refuse_unreadable(context, asked, &error).await?;
            return Ok(settled);
        }
        Err(error) => return Err(error.into()),
    };
    context.metrics.record_experiment(&resource);
    if resource.uid() != asked.uid() {
        // It was deleted and created again, of which the watches tell.
        return Ok(gone);
    }
    if resource.metadata.deletion_timestamp.is_some() {
        // Kubernetes deletes everything that the resource owns; nothing else has to be undone.
        context.queue.leave(&(namespace, resource.name_any()));
        return Ok(gone);
    }
    match PlannedExperiment::of(&resource) {
        Err(_) if status::is_final(resource.status.as_ref()) => {
            leave(context, &resource);
            Ok(settled)
        }
        Err(refusals) => {
            let status = builder(&resource, Timestamp::now()).refused(&refusals);
            finish(context, &api, &resource, status).await?;
            Ok(settled)
        }
        Ok(experiment) => advance(context, &api, resource, &experiment, occasion).await,
    }
}

/// Takes a valid experiment one step further.
async fn advance(
    context: &Context,
    api: &Api<ChaosExperiment>,
    resource: ChaosExperiment,
    experiment: &PlannedExperiment,
    occasion: Occasion,
) -> Result<Reconciled, ReconcileError> {
    if let Some(last) = resource.status.as_ref().filter(|status| status::is_final(Some(status))) {
        leave(context, &resource);
        return clean_up(context, experiment, last).await;
    }
    let ticket = Ticket::of(&resource);
    if status::started_at(resource.status.as_ref()).is_some() {
        context.queue.resume(ticket);
    } else if let Turn::Later(place) = context.queue.enter(ticket) {
        let status = builder(&resource, Timestamp::now()).queued(experiment, place);
        publish(context, api, &resource, status).await?;
        return Ok(Reconciled { known: Some(Known::Waiting(place)), next: Action::requeue(place.look_again()) });
    }
    let known = match step(context, api, resource.clone(), experiment, occasion).await {
        Ok(known) => known,
        Err(error) => return hindered(context, api, &resource, experiment, error).await,
    };
    match known.resource.status.as_ref().filter(|status| status::is_final(Some(status))) {
        Some(last) => clean_up(context, experiment, last).await,
        None => {
            let next = wake(experiment, &known, &timeline(&known.resource, Timestamp::now()));
            Ok(Reconciled { known: Some(Known::UnderWay(Box::new(known))), next: Action::requeue(next) })
        }
    }
}

/// Observes, decides, acts and writes the status.
async fn step(
    context: &Context,
    api: &Api<ChaosExperiment>,
    resource: ChaosExperiment,
    experiment: &PlannedExperiment,
    occasion: Occasion,
) -> Result<UnderWay, ReconcileError> {
    let now = Timestamp::now();
    let resource = match status::started_at(resource.status.as_ref()) {
        Some(_) => resource,
        None => publish(context, api, &resource, builder(&resource, now).preparing(experiment, None)).await?,
    };
    let observed = answered(observe(&context.client, experiment)).await?;
    let Acted { status, plan, answered, progress_at } =
        Box::pin(act(context, &resource, experiment, &observed, occasion, now)).await?;
    let resource = if status::is_final(Some(&status)) {
        finish(context, api, &resource, status).await?
    } else {
        publish(context, api, &resource, status).await?
    };
    let is_ours = plan.as_ref().is_some_and(|(ownership, _)| *ownership == Ownership::Ours);
    let trusted = match (context.watched.is_filled() && is_ours, &answered) {
        (true, None) => LOOK_AGAIN,
        (true, Some(_)) => LOOK_AGAIN_SOON,
        (false, _) => LOOK_AGAIN_UNWATCHED,
    };
    Ok(UnderWay { resource, plan, answered, look_at: Instant::now() + trusted, progress_at })
}

/// What was done, and what is known then.
struct Acted {
    status: ChaosExperimentStatus,
    plan: Option<(Ownership, ConfigMap)>,
    /// What the watches may say, and is answered by what was done.
    answered: Option<Decision>,
    progress_at: Instant,
}

/// Decides and acts. What blocks the creation of an object is reported like a problem of a pod.
async fn act(
    context: &Context,
    resource: &ChaosExperiment,
    experiment: &PlannedExperiment,
    observed: &Observed,
    occasion: Occasion,
    now: Timestamp,
) -> Result<Acted, ReconcileError> {
    let Context { client, settings, .. } = context;
    let timeline = timeline(resource, now);
    let mut plan = observed.plan.clone();
    let mut decision = decide(experiment, observed, &timeline);
    let creation = match &decision {
        Decision::CreateLab => {
            let created = answered(apply::create_lab(client, experiment, settings)).await?;
            plan = created.plan.map(|plan| (Ownership::Ours, plan)).or(plan);
            created.creation
        }
        Decision::LaunchLoad { lab, proxy } => {
            answered(apply::launch_load(client, experiment, settings, observed, lab, *proxy)).await?
        }
        Decision::AwaitReady(_) | Decision::AwaitLoad(_) | Decision::Judge | Decision::Fail(_) => Creation::Complete,
    };
    let Occasion { mut opinion, progress_at } = occasion;
    if let Creation::Blocked(problem) = creation {
        let blocked = decide::blocked(experiment, problem, &timeline);
        opinion = Some(std::mem::replace(&mut decision, blocked));
    }
    let builder = builder(resource, now);
    let mut acted = Acted {
        status: ChaosExperimentStatus::default(),
        plan: plan.map(|(ownership, plan)| (ownership, ConfigMap { data: None, ..plan })),
        answered: opinion,
        progress_at: progress_at.unwrap_or_else(Instant::now),
    };
    acted.status = match decision {
        Decision::CreateLab => {
            // Until the watches have heard of the new objects, they say that the lab is to be created.
            acted.answered = Some(Decision::CreateLab);
            builder.preparing(experiment, None)
        }
        Decision::AwaitReady(problem) => builder.preparing(experiment, problem.as_ref()),
        Decision::LaunchLoad { .. } => {
            // Until the watches have heard of the Job, they say that it is gone.
            acted.answered = Some(Decision::Judge);
            acted.progress_at = Instant::now() + FIRST_PROGRESS;
            builder.loading(experiment, None, None)
        }
        Decision::AwaitLoad(problem) => {
            let (progress, progress_at) =
                progress(context, experiment, observed, timeline.load_age(), progress_at).await;
            acted.progress_at = progress_at;
            builder.loading(experiment, problem.as_ref(), progress)
        }
        Decision::Judge => {
            let outcome = experiment.outcome(merged_report(experiment, observed));
            apply::keep_evidence(client, experiment, observed, &outcome).await;
            builder.judged(&outcome)
        }
        Decision::Fail(problem) => builder.failed(experiment, &problem),
    };
    Ok(acted)
}

/// When to reconcile again if no watch calls before: for another look, for the progress of the load, for another glance at a lab that is not fit, or
/// because a time limit is reached. As long as the watches say something else than the last look, the progress is read by the next look only.
pub(super) fn wake(experiment: &PlannedExperiment, known: &UnderWay, timeline: &Timeline) -> Duration {
    let until = |at: Instant| at.saturating_duration_since(Instant::now());
    let (waited, further) = match timeline.launched {
        Some(_) => (timeline.load_age(), known.answered.is_none().then(|| until(known.progress_at))),
        None => (timeline.waited(), Some(GLANCE_AGAIN)),
    };
    [Some(until(known.look_at)), next_limit(experiment, waited), further]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or_default()
}

/// How far a load of this age is, if it is time to ask and its logs say so, and when to read them again.
pub(super) async fn progress(
    context: &Context,
    experiment: &PlannedExperiment,
    observed: &Observed,
    age: Duration,
    due_at: Option<Instant>,
) -> (Option<ProgressStatus>, Instant) {
    let now = Instant::now();
    let due_at = due_at.unwrap_or_else(|| now + FIRST_PROGRESS.saturating_sub(age));
    if now < due_at {
        return (None, due_at);
    }
    let logs = load_logs(&context.client, experiment, observed).await;
    (logs.and_then(|logs| decide::progress(experiment, &logs)), now + progress_interval(age))
}

/// Deletes the lab of an experiment that has ended. One that is to be kept is kept for some time, without running parts.
async fn clean_up(
    context: &Context,
    experiment: &PlannedExperiment,
    last: &ChaosExperimentStatus,
) -> Result<Reconciled, ReconcileError> {
    let now = Timestamp::now();
    let age = elapsed(last.completion_time.as_ref().map(|time| time.0), now);
    let kept_for = context.keep_labs_for.saturating_sub(age);
    if status::keeps_lab(experiment.spec.retain, last) && !kept_for.is_zero() {
        let plan = answered(apply::stop_lab(&context.client, experiment)).await?;
        let until = now.checked_add(kept_for).unwrap_or(Timestamp::MAX);
        let known = Kept { until, plan, heard_at: Instant::now() + LOOK_AGAIN_SOON };
        return Ok(Reconciled { known: Some(Known::Kept(known)), next: Action::requeue(kept_for) });
    }
    answered(apply::delete_lab(&context.client, experiment)).await?;
    Ok(Reconciled { known: Some(Known::Settled), next: Action::await_change() })
}

/// Says in the status why an experiment makes no progress, if requests to the API go on failing, and gives up in bounded time.
async fn hindered(
    context: &Context,
    api: &Api<ChaosExperiment>,
    resource: &ChaosExperiment,
    experiment: &PlannedExperiment,
    error: ReconcileError,
) -> Result<Reconciled, ReconcileError> {
    let ReconcileError::Api(cause) = &error;
    if cause.is_conflict() {
        return Err(error);
    }
    let now = Timestamp::now();
    let failing = context.failures.lasted(&resource.uid().unwrap_or_default());
    let problem = PodProblem::of_api(cause);
    let builder = builder(resource, now);
    let status = match decide::hindered(experiment, problem, &timeline(resource, now), failing) {
        Decision::Fail(problem) => {
            finish(context, api, resource, builder.failed(experiment, &problem)).await?;
            return Ok(Reconciled { known: None, next: Action::requeue(LOOK_AGAIN_SOON) });
        }
        Decision::AwaitLoad(Some(problem)) => builder.loading(experiment, Some(&problem), None),
        Decision::AwaitReady(Some(problem)) => builder.preparing(experiment, Some(&problem)),
        Decision::AwaitLoad(None) | Decision::AwaitReady(None) => return Err(error),
        Decision::CreateLab | Decision::LaunchLoad { .. } | Decision::Judge => return Err(error),
    };
    if let Err(unwritten) = publish(context, api, resource, status).await {
        warn!(error = %unwritten, "the status cannot be written either");
    }
    Err(error)
}
