//! Watches experiments and the objects of their labs, and reconciles an experiment whenever one of them changes.

use std::{
    collections::HashSet,
    num::NonZero,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{
    StreamExt as _, TryStreamExt as _,
    channel::mpsc::UnboundedReceiver,
    future::{BoxFuture, ready},
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{ApiResource, PartialObjectMeta},
    runtime::{
        WatchStreamExt as _,
        controller::{self, Controller},
        predicates, reflector,
        reflector::{ObjectRef, Store},
        utils::Backoff,
        watcher,
    },
};
use paylab_resource::spec::ChaosExperiment;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{
    desired::Settings,
    error::Error,
    failures::Failures,
    memory::Memory,
    names::EXPERIMENT_LABEL,
    observe::{Writers, trimmed},
    options::Options,
    queue::{Bounds, Name, Queue},
    reconcile::{Context, after_error, reconcile},
    serve::{Health, Metrics},
    watches::{PAGE_LEN, lab_objects, missing_right, scope, without_expiry},
};

/// How many experiments are reconciled at the same time.
const CONCURRENT_RECONCILES: u16 = 8;
/// How long a shutdown waits for reconciles in flight.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

type ExperimentMeta = PartialObjectMeta<ChaosExperiment>;

/// Reconciles experiments with this client until it is cancelled: the operator without leader election, health and metrics.
///
/// # Errors
/// The resource is not defined, or a request to the API failed.
// Boxed: it is then compiled once, with this crate, and not with every binary and test that calls it.
pub fn reconcile_all<'a>(
    client: Client,
    options: &'a Options,
    shutdown: &'a CancellationToken,
) -> BoxFuture<'a, Result<(), Error>> {
    Box::pin(async move { control(client, options, &Arc::new(Metrics::new()), &Health::default(), shutdown).await })
}

/// Reconciles experiments until it is cancelled, and records what it does.
///
/// # Errors
/// As [`reconcile_all`].
pub(crate) async fn control(
    client: Client,
    options: &Options,
    metrics: &Arc<Metrics>,
    health: &Health,
    shutdown: &CancellationToken,
) -> Result<(), Error> {
    let (queue, calls) = filled_queue(&client, options).await?;
    let writers = Writers::default();
    let context = Arc::new(Context {
        client: client.clone(),
        settings: Settings::of(options),
        metrics: Arc::clone(metrics),
        queue,
        watched: writers.watched(),
        memory: Memory::default(),
        keep_labs_for: options.keep_labs_for.duration(),
        failures: Failures::default(),
        identity: options.leadership.identity.clone().unwrap_or_else(|| "operator".to_owned()),
    });
    let (reader, writer) = reflector::store();
    // The store holds only the metadata that is needed; a reconcile reads the whole resource itself.
    let listed = watcher::Config::default().page_size(PAGE_LEN);
    let watched = without_expiry(watcher(scope::<ExperimentMeta>(&client, options), listed));
    let (waiting, existing) = (Arc::clone(&context), reader.clone());
    let changed = watched
        .default_backoff()
        .modify(strip)
        .reflect(writer)
        .inspect_err(missing_right::<ExperimentMeta>())
        .inspect_ok(move |event| forget_deleted(&waiting, &existing, event))
        .applied_objects()
        .predicate_filter(predicates::generation, Default::default());
    // This is the only place that sets the store, so it cannot be set already.
    let _ = health.store.set(reader.clone());
    let called = reader.clone();
    let calls = calls.filter_map(move |(namespace, name)| {
        let called = called.get(&ObjectRef::new(&name).within(&namespace));
        ready(called.map(|experiment| Ok((*experiment).clone())))
    });
    let recorded_reconcile = |resource: Arc<ExperimentMeta>, context: Arc<Context>| async move {
        let begun = Instant::now();
        let result = reconcile(Arc::clone(&resource), Arc::clone(&context)).await;
        context.metrics.record_reconcile(begun.elapsed());
        if result.is_ok() {
            context.failures.record_success(&resource.uid().unwrap_or_default());
        }
        result
    };
    let Writers { pods, deployments, jobs, replica_sets } = writers;
    let reconciles = Controller::for_stream(changed, reader)
        .watches_stream(lab_objects(scope(&client, options), deployments, trimmed::deployment, &context), experiment_of)
        .watches_stream(lab_objects(scope(&client, options), jobs, trimmed::job, &context), experiment_of)
        .watches_stream(lab_objects(scope(&client, options), pods, trimmed::pod, &context), experiment_of)
        .watches_stream(lab_objects(scope(&client, options), replica_sets, trimmed::metadata, &context), experiment_of)
        .watches_stream(calls, |experiment: ExperimentMeta| Some(ObjectRef::from(&experiment)))
        .with_config(controller::Config::default().concurrency(CONCURRENT_RECONCILES))
        .trigger_backoff(NoPause)
        .graceful_shutdown_on(shutdown.clone().cancelled_owned())
        .run(recorded_reconcile, after_error, context)
        .for_each(async |result| {
            if let Err(error) = result {
                debug!(%error, "reconcile did not complete");
            }
        });
    tokio::select! {
        () = reconciles => {}
        () = async { shutdown.cancelled().await; tokio::time::sleep(SHUTDOWN_TIMEOUT).await } => {}
    }
    Ok(())
}

/// The pause of all watches after an error of one of them. Each pauses by itself, so there is none: the errors of five watches, one after another
/// with a longer pause each, would make the operator deaf for minutes after a restart of the API server.
#[derive(Debug, Clone, Copy)]
struct NoPause;

impl Iterator for NoPause {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(Duration::ZERO)
    }
}

impl Backoff for NoPause {
    fn reset(&mut self) {}
}

/// The queue of those experiments that exist, and the stream of those whose turn has come.
async fn filled_queue(client: &Client, options: &Options) -> Result<(Queue, UnboundedReceiver<Name>), Error> {
    let bound = |number: NonZero<u32>| usize::try_from(number.get()).unwrap_or(usize::MAX);
    let bounds = Bounds { labs: bound(options.labs_max), labs_of_namespace: bound(options.labs_max_per_namespace) };
    let (queue, calls) = Queue::new(bounds);
    let definition = ApiResource::erase::<ChaosExperiment>(&());
    let experiments = match &options.watch_namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &definition),
        None => Api::all_with(client.clone(), &definition),
    };
    match queue.fill(&experiments).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Err(Error::Undefined),
        filled => Ok(filled.map(|()| (queue, calls))?),
    }
}

/// Forgets experiments that were deleted, while this operator watched or while it did not.
fn forget_deleted(context: &Context, existing: &Store<ExperimentMeta>, event: &watcher::Event<ExperimentMeta>) {
    let Context { queue, memory, .. } = context;
    match event {
        watcher::Event::Delete(experiment) => {
            queue.leave(&(experiment.namespace().unwrap_or_default(), experiment.name_any()));
            // Nothing is known any more.
            let _ = experiment.uid().and_then(|uid| memory.take(&uid));
        }
        watcher::Event::InitDone => {
            queue.keep(|(namespace, name)| existing.get(&ObjectRef::new(name).within(namespace)).is_some());
            let existing: HashSet<_> = existing.state().iter().filter_map(|experiment| experiment.uid()).collect();
            memory.keep(|uid| existing.contains(uid));
        }
        watcher::Event::Apply(_) | watcher::Event::Init | watcher::Event::InitApply(_) => {}
    }
}

/// The experiment that an object of a lab belongs to.
fn experiment_of<K: Resource>(object: K) -> Option<ObjectRef<ExperimentMeta>> {
    let name = object.labels().get(EXPERIMENT_LABEL)?;
    Some(ObjectRef::new(name).within(&object.namespace()?))
}

/// Drops the metadata that nothing here reads, to save memory.
fn strip(experiment: &mut ExperimentMeta) {
    experiment.metadata.managed_fields = None;
    experiment.metadata.annotations = None;
    experiment.metadata.labels = None;
}
