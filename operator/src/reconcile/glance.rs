//! A glance at what the watches have told. It decides as a look does, by the same function, and makes no request as long as nothing would come of
//! it. What it sees is never evidence: whatever is to be done, a look decides again from what the API server itself says.

use k8s_openapi::jiff::Timestamp;
use kube::{Api, ResourceExt as _, api::PartialObjectMeta, runtime::controller::Action};
use paylab_resource::{spec::ChaosExperiment, status::ChaosExperimentStatus};
use tokio::time::Instant;

use super::{
    Context, Glance, Occasion, ReconcileError, Reconciled,
    look::{progress, wake},
    publish::{builder, elapsed, publish, timeline},
};
use crate::{
    decide::{Decision, PodProblem, Timeline, decide, waiting::LOOK_AGAIN},
    memory::{Kept, Known, UnderWay},
    observe::Observed,
    planned::PlannedExperiment,
    queue::{Ticket, Turn},
};

/// Whether what is known of an experiment and what the watches have told leave something to be done.
pub(super) async fn glance(
    context: &Context,
    resource: &PartialObjectMeta<ChaosExperiment>,
    known: Known,
) -> Result<Glance, ReconcileError> {
    if resource.metadata.deletion_timestamp.is_some() {
        return Ok(Glance::Look(Occasion::default()));
    }
    match known {
        Known::Settled => Ok(enough(Known::Settled, Action::await_change())),
        Known::Waiting(place) => match context.queue.enter(Ticket::of(resource)) {
            Turn::Later(now) if now == place => Ok(enough(Known::Waiting(place), Action::requeue(place.look_again()))),
            Turn::Later(_) | Turn::Now => Ok(Glance::Look(Occasion::default())),
        },
        Known::Kept(kept) => Ok(at_kept_lab(context, resource, kept)),
        Known::UnderWay(known) => at_lab(context, *known).await,
    }
}

fn enough(known: Known, next: Action) -> Glance {
    Glance::Enough(Reconciled { known: Some(known), next })
}

/// A lab that is kept is stopped again when somebody has started it, and removed when its time is over.
fn at_kept_lab(context: &Context, resource: &PartialObjectMeta<ChaosExperiment>, kept: Kept) -> Glance {
    let left = elapsed(Some(Timestamp::now()), kept.until);
    let (namespace, name) = (resource.namespace().unwrap_or_default(), resource.name_any());
    let is_running = kept.plan.as_ref().is_some_and(|plan| context.watched.is_running(&namespace, &name, plan));
    let next = match kept.heard_at.checked_duration_since(Instant::now()) {
        _ if left.is_zero() => return Glance::Look(Occasion::default()),
        // The watches may not have heard yet that it was stopped.
        Some(unheard) if is_running => unheard.min(left),
        None if is_running => return Glance::Look(Occasion::default()),
        // The watches may have missed something, and a glance costs no request.
        Some(_) | None => left.min(LOOK_AGAIN),
    };
    enough(Known::Kept(kept), Action::requeue(next))
}

/// An experiment that is under way: a glance is enough while the same decision as in a look would be to wait, and to say nothing new.
async fn at_lab(context: &Context, mut known: UnderWay) -> Result<Glance, ReconcileError> {
    let look = |known: &UnderWay, opinion| Ok(Glance::Look(Occasion { opinion, progress_at: Some(known.progress_at) }));
    let Ok(experiment) = PlannedExperiment::of(&known.resource) else { return look(&known, None) };
    let Some(observed) = context.watched.lab(&experiment, known.plan.clone()) else { return look(&known, None) };
    let timeline = timeline(&known.resource, Timestamp::now());
    let opinion = decide(&experiment, &observed, &timeline);
    let status = would_say(&experiment, &known.resource, &opinion, &timeline);
    let is_quiet = status.is_some() && status == known.resource.status;
    let is_answered = known.answered.as_ref() == Some(&opinion);
    if Instant::now() >= known.look_at || !(is_quiet || is_answered) {
        return look(&known, (!is_quiet).then_some(opinion));
    }
    if is_quiet {
        known.answered = None;
        if let Decision::AwaitLoad(problem) = &opinion {
            tell_progress(context, &experiment, &observed, problem.as_ref(), &mut known).await?;
        }
    }
    let next = wake(&experiment, &known, &timeline);
    Ok(enough(Known::UnderWay(Box::new(known)), Action::requeue(next)))
}

/// The status with which an experiment would wait; `None`: it would not wait.
fn would_say(
    experiment: &PlannedExperiment,
    resource: &ChaosExperiment,
    decision: &Decision,
    timeline: &Timeline,
) -> Option<ChaosExperimentStatus> {
    let builder = builder(resource, timeline.now);
    match decision {
        Decision::AwaitReady(problem) => Some(builder.preparing(experiment, problem.as_ref())),
        Decision::AwaitLoad(problem) => Some(builder.loading(experiment, problem.as_ref(), None)),
        Decision::CreateLab | Decision::LaunchLoad { .. } | Decision::Judge | Decision::Fail(_) => None,
    }
}

/// Writes how far the load is, when it is time to. Nothing depends on it, so it needs no look.
async fn tell_progress(
    context: &Context,
    experiment: &PlannedExperiment,
    observed: &Observed,
    problem: Option<&PodProblem>,
    known: &mut UnderWay,
) -> Result<(), ReconcileError> {
    let now = Timestamp::now();
    let age = timeline(&known.resource, now).load_age();
    let (progress, progress_at) = progress(context, experiment, observed, age, Some(known.progress_at)).await;
    known.progress_at = progress_at;
    if progress.is_some() {
        let api = Api::<ChaosExperiment>::namespaced(context.client.clone(), &experiment.namespace);
        let status = builder(&known.resource, now).loading(experiment, problem, progress);
        known.resource = publish(context, &api, &known.resource, status).await?;
    }
    Ok(())
}
