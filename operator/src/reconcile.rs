//! One reconcile of one experiment: observe, decide, act, write the status. It waits for nothing but answers of the API.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject, PartialObjectMeta, PostParams},
    runtime::controller::Action,
};
use paylab_core::field_error::FieldError;
use paylab_resource::{
    spec::ChaosExperiment,
    status::{ChaosExperimentStatus, ProgressStatus},
};
use serde_json::json;
use tracing::{info, warn};

use crate::{
    api::{ApiError, answered},
    apply::{self, Creation},
    decide::{
        self, Decision, PodProblem, Timeline, decide,
        evidence::merged_report,
        waiting::{FIRST_PROGRESS, ProgressSchedule, poll_interval, progress_schedule},
    },
    desired::Settings,
    failures::{Failures, pause_after},
    observe::{Observed, load_logs, observe},
    planned::PlannedExperiment,
    queue::{Queue, Ticket, Turn},
    serve::Metrics,
    status::{self, StatusBuilder},
};

/// What every reconcile needs.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) settings: Settings,
    pub(crate) metrics: Arc<Metrics>,
    /// The experiments that are under way, and those that wait.
    pub(crate) queue: Queue,
    /// How long a lab is kept that is to be kept.
    pub(crate) keep_labs_for: Duration,
    /// The failures in a row of each experiment.
    pub(crate) failures: Failures,
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
    let resource = match answered(api.get_opt(&resource.name_any())).await {
        Ok(Some(resource)) => resource,
        Ok(None) => {
            context.queue.leave(&(namespace, resource.name_any()));
            return Ok(Action::await_change());
        }
        Err(ApiError::Request(kube::Error::SerdeError(error))) => {
            return refuse_unreadable(&context, &resource, &error).await;
        }
        Err(error) => return Err(error.into()),
    };
    context.metrics.record_experiment(&resource);
    if resource.metadata.deletion_timestamp.is_some() {
        // Kubernetes deletes everything that the resource owns; nothing else has to be undone.
        context.queue.leave(&(namespace, resource.name_any()));
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
    let ticket = Ticket::of(&resource);
    if status::started_at(resource.status.as_ref()).is_some() {
        context.queue.resume(ticket);
    } else if let Turn::Later(place) = context.queue.enter(ticket) {
        let status = builder(&resource, Timestamp::now()).queued(experiment, place);
        publish(context, api, &resource, status).await?;
        return Ok(Action::requeue(place.look_again()));
    }
    let Reconciled { status, next } = match step(context, api, resource.clone(), experiment).await {
        Ok(reconciled) => reconciled,
        Err(error) => return hindered(context, api, &resource, experiment, error).await,
    };
    if status::is_final(Some(&status)) { clean_up(context, experiment, &status).await } else { Ok(next) }
}

/// Observes, decides, acts and writes the status.
async fn step(
    context: &Context,
    api: &Api<ChaosExperiment>,
    resource: ChaosExperiment,
    experiment: &PlannedExperiment,
) -> Result<Reconciled, ReconcileError> {
    let now = Timestamp::now();
    let resource = match status::started_at(resource.status.as_ref()) {
        Some(_) => resource,
        None => publish(context, api, &resource, builder(&resource, now).preparing(experiment, None)).await?,
    };
    let observed = answered(observe(&context.client, experiment)).await?;
    let reconciled = act(context, &resource, experiment, &observed, now).await?;
    if status::is_final(Some(&reconciled.status)) {
        finish(context, api, &resource, reconciled.status.clone()).await?;
    } else {
        publish(context, api, &resource, reconciled.status.clone()).await?;
    }
    Ok(reconciled)
}

/// Says in the status why an experiment makes no progress, if requests to the API go on failing, and gives up in bounded time.
async fn hindered(
    context: &Context,
    api: &Api<ChaosExperiment>,
    resource: &ChaosExperiment,
    experiment: &PlannedExperiment,
    error: ReconcileError,
) -> Result<Action, ReconcileError> {
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
            return Ok(Action::await_change());
        }
        Decision::AwaitLoad(Some(problem)) => builder.loading(experiment, Some(&problem), None),
        Decision::AwaitReady(Some(problem)) => builder.preparing(experiment, Some(&problem)),
        Decision::AwaitLoad(None) | Decision::AwaitReady(None) => return Err(error),
        Decision::CreateLab | Decision::LaunchLoad(_) | Decision::Judge => return Err(error),
    };
    if let Err(unwritten) = publish(context, api, resource, status).await {
        warn!(error = %unwritten, "the status cannot be written either");
    }
    Err(error)
}

/// Refuses a resource that this operator cannot read, such as one of a newer release.
async fn refuse_unreadable(
    context: &Context,
    resource: &PartialObjectMeta<ChaosExperiment>,
    error: &serde_json::Error,
) -> Result<Action, ReconcileError> {
    let namespace = resource.namespace().unwrap_or_default();
    let definition = ApiResource::erase::<ChaosExperiment>(&());
    let api = Api::<DynamicObject>::namespaced_with(context.client.clone(), &namespace, &definition);
    let Some(mut stored) = answered(api.get_opt(&resource.name_any())).await? else {
        return Ok(Action::await_change());
    };
    if stored.data.pointer("/status/completionTime").is_some_and(|time| !time.is_null()) {
        return Ok(Action::await_change());
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
    context.queue.leave(&(namespace, resource.name_any()));
    Ok(Action::await_change())
}

/// Decides and acts. What blocks the creation of an object is reported like a problem of a pod.
async fn act(
    context: &Context,
    resource: &ChaosExperiment,
    experiment: &PlannedExperiment,
    observed: &Observed,
    now: Timestamp,
) -> Result<Reconciled, ReconcileError> {
    let Context { client, settings, .. } = context;
    let timeline = timeline(resource, now);
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
            let (progress, next) = progress(client, experiment, observed, timeline.load_age()).await;
            Reconciled { status: builder.loading(experiment, problem.as_ref(), progress), next }
        }
        Decision::Judge => {
            let outcome = experiment.outcome(merged_report(experiment, observed));
            apply::keep_evidence(client, experiment, observed, &outcome).await;
            Reconciled { status: builder.judged(&outcome), next: Action::await_change() }
        }
        Decision::Fail(problem) => {
            Reconciled { status: builder.failed(experiment, &problem), next: Action::await_change() }
        }
    })
}

/// How far the load is, if its logs say so, and when to read them again.
async fn progress(
    client: &Client,
    experiment: &PlannedExperiment,
    observed: &Observed,
    age: Duration,
) -> (Option<ProgressStatus>, Action) {
    match progress_schedule(age) {
        ProgressSchedule::Later(wait) => (None, Action::requeue(wait)),
        ProgressSchedule::Now { next } => {
            let logs = load_logs(client, experiment, observed).await;
            (logs.and_then(|logs| decide::progress(experiment, &logs)), Action::requeue(next))
        }
    }
}

/// Deletes the lab of an experiment that has ended. One that is to be kept is kept for some time, without running parts.
async fn clean_up(
    context: &Context,
    experiment: &PlannedExperiment,
    last: &ChaosExperimentStatus,
) -> Result<Action, ReconcileError> {
    let age = elapsed(last.completion_time.as_ref().map(|time| time.0), Timestamp::now());
    let kept_for = context.keep_labs_for.saturating_sub(age);
    if status::keeps_lab(experiment.spec.retain, last) && !kept_for.is_zero() {
        answered(apply::stop_lab(&context.client, experiment)).await?;
        return Ok(Action::requeue(kept_for));
    }
    answered(apply::delete_lab(&context.client, experiment)).await?;
    Ok(Action::await_change())
}

/// Reports the end of an experiment.
async fn finish(
    context: &Context,
    api: &Api<ChaosExperiment>,
    resource: &ChaosExperiment,
    status: ChaosExperimentStatus,
) -> Result<(), ReconcileError> {
    let published = publish(context, api, resource, status).await?;
    context.metrics.record_end(&published);
    context.queue.leave(&(published.namespace().unwrap_or_default(), published.name_any()));
    let outcome = published.status.as_ref().and_then(|status| status.message.as_deref()).unwrap_or_default();
    info!(namespace = published.namespace(), name = published.name_any(), outcome, "experiment ended");
    Ok(())
}

/// Writes the status if it says something new: another phase or reason first in an Event, which a repeated reconcile does not create twice. The
/// status counts, so it is written even if the Event cannot be. The API server refuses the write if the resource has changed meanwhile.
async fn publish(
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

/// When to repeat a reconcile that failed: the more often it has failed in a row, the later.
pub(crate) fn after_error(
    resource: Arc<PartialObjectMeta<ChaosExperiment>>,
    error: &ReconcileError,
    context: Arc<Context>,
) -> Action {
    const CONFLICT_PAUSE: Duration = Duration::from_millis(100);
    let failures = context.failures.record_failure(&resource.uid().unwrap_or_default());
    match error {
        // Somebody else has changed the resource meanwhile; the next reconcile reads it again.
        ReconcileError::Api(cause) if cause.is_conflict() && failures == 1 => Action::requeue(CONFLICT_PAUSE),
        ReconcileError::Api(cause) => {
            context.metrics.record_error();
            let pause = pause_after(failures);
            warn!(
                namespace = resource.namespace(),
                name = resource.name_any(),
                error = cause.in_words(),
                failures,
                retry_after_s = pause.as_secs(),
                "reconcile failed"
            );
            Action::requeue(pause)
        }
    }
}

fn builder(resource: &ChaosExperiment, now: Timestamp) -> StatusBuilder<'_> {
    StatusBuilder { previous: resource.status.as_ref(), generation: resource.metadata.generation, now }
}

fn elapsed(since: Option<Timestamp>, now: Timestamp) -> Duration {
    since.map_or(Duration::ZERO, |since| Duration::try_from(now.duration_since(since)).unwrap_or_default())
}

fn timeline(resource: &ChaosExperiment, now: Timestamp) -> Timeline {
    let status = resource.status.as_ref();
    Timeline {
        started: status::started_at(status).unwrap_or(now),
        last_phase: status.and_then(|status| status.phase),
        launched: status::launched_at(status),
        now,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use http::{Method, Request, Response, StatusCode};
    use kube::client::Body;
    use serde_json::json;
    use tower::service_fn;

    use super::*;
    use crate::{
        fixtures::{at, planned, resource, settings},
        queue::Bounds,
    };

    /// A context whose API server stores every status, and treats the creation of an Event like this; and the number of Events that
    /// it was asked to create.
    fn context(event: StatusCode) -> (Context, Arc<AtomicUsize>) {
        let events = Arc::new(AtomicUsize::new(0));
        let asked = Arc::clone(&events);
        let api = service_fn(move |request: Request<Body>| {
            let asked = Arc::clone(&asked);
            async move {
                let (status, body) = if request.method() == Method::POST {
                    asked.fetch_add(1, Ordering::SeqCst);
                    let refusal = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": event.as_u16(),
                        "reason": if event == StatusCode::CONFLICT { "AlreadyExists" } else { "Refused" }, "message": "no events"});
                    (event, refusal.to_string().into_bytes())
                } else {
                    let body = request.into_body().collect_bytes().await.expect("the body is whole");
                    (StatusCode::OK, body.to_vec())
                };
                let response = Response::builder().status(status).body(Body::from(body));
                Ok::<_, Infallible>(response.expect("the status is valid"))
            }
        });
        let context = Context {
            client: Client::new(api, "school"),
            settings: settings(),
            metrics: Arc::new(Metrics::new()),
            queue: Queue::new(Bounds { labs: 1, labs_of_namespace: 1 }).0,
            keep_labs_for: Duration::from_secs(60),
            failures: Failures::default(),
            identity: "operator".to_owned(),
        };
        (context, events)
    }

    #[tokio::test]
    async fn an_event_that_cannot_be_created_does_not_keep_the_verdict_from_being_written() {
        let (experiment, resource) = (planned(&json!({})), resource(&json!({})));
        let problem = decide::PodProblem::former_run();
        for (event, requests) in
            [(StatusCode::CONFLICT, 1), (StatusCode::FORBIDDEN, 2), (StatusCode::INTERNAL_SERVER_ERROR, 2)]
        {
            let (context, events) = context(event);
            let api = Api::<ChaosExperiment>::namespaced(context.client.clone(), "school");
            let status = builder(&resource, at(1)).failed(&experiment, &problem);
            assert!(finish(&context, &api, &resource, status).await.is_ok(), "{event}");
            assert_eq!(events.load(Ordering::SeqCst), requests, "{event}");
        }
    }

    #[tokio::test]
    async fn a_resource_of_a_newer_release_is_refused_in_its_status() {
        let mut stored = json!(resource(&json!({})));
        stored["spec"]["service"] = json!({"dedup": "OfTheNextRelease"});
        let metadata: PartialObjectMeta<ChaosExperiment> = serde_json::from_value(stored.clone()).unwrap();
        let written = Arc::new(std::sync::Mutex::new(None));
        let seen = Arc::clone(&written);
        let api = service_fn(move |request: Request<Body>| {
            let (stored, seen) = (stored.clone(), Arc::clone(&seen));
            async move {
                let is_put = request.method() == Method::PUT;
                let body = request.into_body().collect_bytes().await.expect("the body is whole").to_vec();
                if is_put {
                    *seen.lock().unwrap() = serde_json::from_slice::<serde_json::Value>(&body).ok();
                }
                let body = if body.is_empty() { stored.to_string().into_bytes() } else { body };
                Ok::<_, Infallible>(Response::new(Body::from(body)))
            }
        });
        let (unused, _) = context(StatusCode::OK);
        let context = Arc::new(Context { client: Client::new(api, "school"), ..unused });
        reconcile(Arc::new(metadata), context).await.unwrap();
        let written = written.lock().unwrap().take().expect("the status is written");
        let status: ChaosExperimentStatus = serde_json::from_value(written["status"].clone()).unwrap();
        let accepted = status.conditions.iter().find(|one| one.type_ == "Accepted").unwrap();
        assert_eq!((accepted.status.as_str(), accepted.reason.as_str()), ("False", "Refused"));
        let message = status.message.unwrap();
        assert!(message.contains("OfTheNextRelease") && message.contains("upgrade the operator"), "{message}");
        assert_eq!(written["spec"]["service"]["dedup"], "OfTheNextRelease", "nothing else is changed");
    }

    #[tokio::test]
    async fn an_experiment_that_fails_again_and_again_is_tried_less_and_less_often() {
        let (context, _) = context(StatusCode::FORBIDDEN);
        let context = Arc::new(context);
        let resource: PartialObjectMeta<ChaosExperiment> = serde_json::from_value(json!(resource(&json!({})))).unwrap();
        let resource = Arc::new(resource);
        let pause = |error: &ReconcileError| after_error(Arc::clone(&resource), error, Arc::clone(&context));
        let timeout = ReconcileError::Api(ApiError::Timeout);
        let seconds = [1, 2, 4].map(|seconds| Action::requeue(Duration::from_secs(seconds)));
        assert_eq!([pause(&timeout), pause(&timeout), pause(&timeout)], seconds);
        context.failures.record_success(&resource.uid().unwrap());
        let conflict = kube::core::Status { code: 409, reason: "Conflict".to_owned(), ..Default::default() };
        let conflict = ReconcileError::Api(ApiError::Request(kube::Error::Api(Box::new(conflict))));
        assert_eq!(pause(&conflict), Action::requeue(Duration::from_millis(100)));
        assert_eq!(pause(&conflict), Action::requeue(Duration::from_secs(2)));
    }
}
