//! One step of one experiment: look, decide, act, tell. It never waits for anything but answers of the API.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt as _,
    api::{LogParams, PartialObjectMeta, PostParams},
    runtime::controller::Action,
};
use paylab_experiment::{
    predict::Prediction,
    spec::ChaosExperiment,
    status::{ChaosExperimentStatus, ProgressStatus},
    verdict::conclude,
};
use tracing::{info, warn};

use crate::{
    apply::event as events,
    apply::{self, Made},
    decide::decision::{self as stage, Stage, decide},
    decide::evidence,
    desired::Settings,
    observe::{Observed, observe},
    planned::Run,
    serve::metrics::Metrics,
    status::{self, Page},
};

/// The API must have answered all questions of a step within this time; kube itself waits without end.
const STEP_WITHIN: Duration = Duration::from_secs(60);
/// How often a load is asked how far it is: a tenth of its age, within these bounds; and not before the first.
const PROGRESS_PAUSE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// So much of a log is asked for; the last word about progress is in it.
const LOG_LINES: i64 = 5;

/// What every step needs.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) settings: Settings,
    pub(crate) metrics: Arc<Metrics>,
    /// What this operator is called in events.
    pub(crate) identity: String,
}

/// Why a step has to be taken again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API says no, or cannot be asked.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// The API does not answer.
    #[error("the API has not answered within {} s", STEP_WITHIN.as_secs())]
    Silent,
    /// A fault of this program.
    #[error("the judge has crashed")]
    Crashed,
}

/// What a step has come to, and when the next one is due though nothing has changed.
struct Step {
    status: ChaosExperimentStatus,
    next: Action,
}

/// Takes one step of one experiment.
pub(crate) async fn reconcile(
    resource: Arc<PartialObjectMeta<ChaosExperiment>>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    let namespace = resource.namespace().unwrap_or_default();
    let api = Api::<ChaosExperiment>::namespaced(context.client.clone(), &namespace);
    let Some(resource) = promptly(api.get_opt(&resource.name_any())).await? else {
        return Ok(Action::await_change());
    };
    context.metrics.note_experiment(&resource);
    if resource.metadata.deletion_timestamp.is_some() {
        // What it owns goes with it; there is nothing else to be undone.
        return Ok(Action::await_change());
    }
    match Run::of(&resource) {
        Err(_) if status::is_settled(resource.status.as_ref()) => Ok(Action::await_change()),
        Err(refusals) => {
            let status = page(&resource, Timestamp::now()).refused(&refusals);
            conclude_with(&context, &api, &resource, status).await?;
            Ok(Action::await_change())
        }
        Ok(run) => drive(&context, &api, resource, &run).await,
    }
}

async fn drive(
    context: &Context,
    api: &Api<ChaosExperiment>,
    resource: ChaosExperiment,
    run: &Run,
) -> Result<Action, Error> {
    if let Some(settled) = resource.status.as_ref().filter(|status| status::is_settled(Some(status))) {
        return settle(context, run, settled).await;
    }
    let now = Timestamp::now();
    let resource = match status::since(resource.status.as_ref()) {
        Some(_) => resource,
        None => publish(context, api, &resource, page(&resource, now).preparing(run, None)).await?,
    };
    let observed = promptly(observe(&context.client, run)).await?;
    let Step { status, next } = step(context, &resource, run, &observed, now).await?;
    if status::is_settled(Some(&status)) {
        conclude_with(context, api, &resource, status.clone()).await?;
        return settle(context, run, &status).await;
    }
    publish(context, api, &resource, status).await?;
    Ok(next)
}

/// Does what the stage asks for. What is in the way of it is told like any trouble of the parts.
async fn step(
    context: &Context,
    resource: &ChaosExperiment,
    run: &Run,
    observed: &Observed,
    now: Timestamp,
) -> Result<Step, Error> {
    let since = status::since(resource.status.as_ref()).unwrap_or(now);
    let phase = resource.status.as_ref().and_then(|status| status.phase);
    let obstructed = |trouble| stage::waiting(run, trouble, stage::elapsed(since, now));
    let mut stage = decide(run, observed, (since, phase), now);
    let made = match &stage {
        Stage::Build => promptly(apply::build(&context.client, run, &context.settings)).await?,
        Stage::Launch(lab) => promptly(apply::launch(&context.client, run, &context.settings, observed, lab)).await?,
        Stage::Prepare(_) | Stage::Load(_) | Stage::Judge | Stage::Fail(_) => Made::All,
    };
    if let Made::Obstructed(trouble) = made {
        stage = obstructed(trouble);
    }
    let page = page(resource, now);
    let waiting = Action::requeue(stage::next_deadline(run, since, now));
    Ok(match stage {
        Stage::Build => Step { status: page.preparing(run, None), next: waiting },
        Stage::Prepare(trouble) => Step { status: page.preparing(run, trouble.as_ref()), next: waiting },
        Stage::Launch(_) => Step { status: page.loading(run, None, None), next: Action::requeue(PROGRESS_PAUSE.0) },
        Stage::Load(trouble) => {
            let (progress, next) = progress(context, run, observed, now).await;
            Step { status: page.loading(run, trouble.as_ref(), progress), next }
        }
        Stage::Judge => Step { status: judge(page, run, observed).await?, next: Action::await_change() },
        Stage::Fail(trouble) => Step { status: page.failed(run, &trouble), next: Action::await_change() },
    })
}

async fn judge(page: Page<'_>, run: &Run, observed: &Observed) -> Result<ChaosExperimentStatus, Error> {
    let report = evidence::merged(run, observed);
    let plan = run.plan.clone();
    // Millions of payments take their time, which other experiments must not wait for.
    let predicted = tokio::task::spawn_blocking(move || Prediction::of(&plan, 0..plan.count));
    let prediction = predicted.await.map_err(|_| Error::Crashed)?;
    let conclusion = conclude(&run.plan, &report, &prediction);
    Ok(page.judged(run, (&report, &prediction, &conclusion)))
}

/// How far the load is, as its logs say, and when to ask again. A log that cannot be read says nothing, and nothing depends
/// on it.
async fn progress(
    context: &Context,
    run: &Run,
    observed: &Observed,
    now: Timestamp,
) -> (Option<ProgressStatus>, Action) {
    let (least, most) = PROGRESS_PAUSE;
    let age = observed.job.as_ref().map_or(Duration::ZERO, |job| stage::load_age(job, now));
    if age < least {
        return (None, Action::requeue(least - age));
    }
    let pods = Api::<Pod>::namespaced(context.client.clone(), &run.namespace);
    let last = LogParams { tail_lines: Some(LOG_LINES), ..LogParams::default() };
    let logs = evidence::speakers(observed).map(|(shard, pod)| {
        let (pods, last, name) = (&pods, &last, pod.name_any());
        async move { Some((shard, promptly(pods.logs(&name, last)).await.ok()?)) }
    });
    let logs = futures::future::join_all(logs).await;
    let progress = evidence::progress(run, &logs.into_iter().flatten().collect());
    (progress, Action::requeue((age / 10).clamp(least, most)))
}

/// Removes the lab of a settled experiment, unless it is to be kept.
async fn settle(context: &Context, run: &Run, settled: &ChaosExperimentStatus) -> Result<Action, Error> {
    if !run.keeps_parts(status::is_verified(settled)) {
        promptly(apply::demolish(&context.client, run)).await?;
    }
    Ok(Action::await_change())
}

/// Says the last word: first in an event, which has the same name each time and so is there once, then in the status.
async fn conclude_with(
    context: &Context,
    api: &Api<ChaosExperiment>,
    resource: &ChaosExperiment,
    status: ChaosExperimentStatus,
) -> Result<(), Error> {
    promptly(events::tell(&context.client, resource, &status, &context.identity)).await?;
    let published = publish(context, api, resource, status).await?;
    context.metrics.note_completion(&published);
    let outcome = published.status.as_ref().and_then(|status| status.message.as_deref()).unwrap_or_default();
    info!(namespace = published.namespace(), name = published.name_any(), outcome, "experiment has come to its end");
    Ok(())
}

/// Writes the status where it says something new. A resource that has changed meanwhile is not overwritten.
async fn publish(
    context: &Context,
    api: &Api<ChaosExperiment>,
    resource: &ChaosExperiment,
    status: ChaosExperimentStatus,
) -> Result<ChaosExperiment, Error> {
    if resource.status.as_ref() == Some(&status) {
        return Ok(resource.clone());
    }
    let mut changed = resource.clone();
    changed.metadata.managed_fields = None;
    changed.status = Some(status);
    let published = promptly(api.replace_status(&resource.name_any(), &PostParams::default(), &changed)).await?;
    context.metrics.note_experiment(&published);
    Ok(published)
}

/// What to do after a step that failed.
pub(crate) fn again(resource: Arc<PartialObjectMeta<ChaosExperiment>>, error: &Error, context: Arc<Context>) -> Action {
    const CONFLICT_PAUSE: Duration = Duration::from_millis(100);
    const ERROR_PAUSE: Duration = Duration::from_secs(2);
    match error {
        // Somebody else has written meanwhile; the next look sees what.
        Error::Api(kube::Error::Api(status)) if status.is_conflict() => Action::requeue(CONFLICT_PAUSE),
        error => {
            context.metrics.note_error();
            warn!(namespace = resource.namespace(), name = resource.name_any(), %error, "step failed");
            Action::requeue(ERROR_PAUSE)
        }
    }
}

fn page(resource: &ChaosExperiment, now: Timestamp) -> Page<'_> {
    Page { before: resource.status.as_ref(), generation: resource.metadata.generation, now }
}

async fn promptly<T>(asked: impl Future<Output = kube::Result<T>>) -> Result<T, Error> {
    Ok(tokio::time::timeout(STEP_WITHIN, asked).await.map_err(|_| Error::Silent)??)
}
