//! One reconcile of one experiment: a glance at what the watches have told, and, if that says that something is to be done, a look at the cluster
//! itself, after which it is done. It waits for nothing but answers of the API.

mod glance;
mod look;
mod publish;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use kube::{Client, ResourceExt as _, api::PartialObjectMeta, runtime::controller::Action};
use paylab_resource::spec::ChaosExperiment;
use tokio::time::Instant;
use tracing::warn;

use self::{glance::glance, look::look};
use crate::{
    api::ApiError,
    decide::Decision,
    desired::Settings,
    failures::{Failures, pause_after},
    memory::{Known, Memory},
    observe::Watched,
    queue::Queue,
    serve::Metrics,
};

/// What every reconcile needs.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) settings: Settings,
    pub(crate) metrics: Arc<Metrics>,
    /// The experiments that are under way, and those that wait.
    pub(crate) queue: Queue,
    /// What the watches have told of all labs.
    pub(crate) watched: Watched,
    /// What is known of each experiment.
    pub(crate) memory: Memory,
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

/// What is known of an experiment after a reconcile, and when to reconcile it again if nothing changes before.
struct Reconciled {
    known: Option<Known>,
    next: Action,
}

/// What a glance leads to.
enum Glance {
    /// Nothing is to be done.
    Enough(Reconciled),
    /// Something may be to be done.
    Look(Occasion),
}

/// Why there is a look. Without a memory of the experiment nothing is said.
#[derive(Debug, Default)]
struct Occasion {
    /// What the watches say is to be done.
    opinion: Option<Decision>,
    /// When the progress of the load is to be read.
    progress_at: Option<Instant>,
}

/// Reconciles one experiment.
pub(crate) async fn reconcile(
    resource: Arc<PartialObjectMeta<ChaosExperiment>>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    let uid = resource.uid().unwrap_or_default();
    let glance = match context.memory.take(&uid) {
        Some(known) => glance(&context, &resource, known).await?,
        None => Glance::Look(Occasion::default()),
    };
    let Reconciled { known, next } = match glance {
        Glance::Enough(reconciled) => reconciled,
        // Boxed, because most reconciles end before it.
        Glance::Look(occasion) => Box::pin(look(&context, &resource, occasion)).await?,
    };
    if let Some(known) = known {
        context.memory.remember(uid, known);
    }
    Ok(next)
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
