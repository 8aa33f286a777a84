//! The operator: makes of each `ChaosExperiment` a lab on the cluster, and of what the lab has seen a verdict in its status.
//!
//! The way of a step: `observe` looks, `stage` decides, `desired` says what should be there, `apply` makes it, `evidence`
//! adds up what the load pods say, `status` tells. It must not know how payments are sent, broken or booked, and it opens no
//! socket but those to the Kubernetes API and one for health and metrics.

mod apply;
mod decide;
mod desired;
#[cfg(test)]
mod fixtures;
mod leader;
mod names;
mod observe;
pub mod options;
mod planned;
mod reconcile;
mod serve;
mod status;
pub mod wait;

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{apps::v1::Deployment, batch::v1::Job, core::v1::Pod},
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{ListParams, PartialObjectMeta},
    runtime::{
        WatchStreamExt as _,
        controller::{self, Controller},
        predicates, reflector,
        reflector::ObjectRef,
        watcher,
    },
};
use paylab_experiment::spec::ChaosExperiment;
use paylab_part::listen::listen;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::{
    desired::Settings,
    names::{EXPERIMENT_LABEL, MANAGED_BY_LABEL, MANAGER},
    options::Options,
    reconcile::{Context, again, reconcile},
    serve::{
        health::{self, Health},
        metrics::Metrics,
    },
};
pub use crate::{leader::LeaderError, reconcile::Error as StepError};

/// So many experiments take a step at once.
const STEPS_AT_ONCE: u16 = 8;
/// A list is asked for in pages of so many objects.
const PAGE_LEN: u32 = 50;
/// A shutdown waits so long for the steps that are under way.
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(10);

/// What ends an operator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no way to the API.
    #[error("no cluster can be reached: {0}; run it in a pod with a service account, or set KUBECONFIG")]
    Config(#[from] kube::config::InferConfigError),
    /// The API cannot be asked.
    #[error("the cluster's API cannot be asked: {0}")]
    Api(#[from] kube::Error),
    /// The resource is not defined.
    #[error("the cluster knows no ChaosExperiments; install the chart, or `paylab crd | kubectl apply -f -`")]
    Undefined,
    /// The port for health and metrics cannot be had.
    #[error("cannot listen on {address}: {source}; check --listen")]
    Listen {
        /// As asked for.
        address: std::net::SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Another one leads.
    #[error(transparent)]
    Leader(#[from] LeaderError),
}

type Experiment = PartialObjectMeta<ChaosExperiment>;

/// Reconciles experiments until it is cancelled, answering for its health meanwhile.
///
/// # Errors
/// The cluster cannot be reached, or this operator does not lead any more.
pub async fn run(options: Options, shutdown: CancellationToken) -> Result<(), Error> {
    let client = Client::try_from(kube::Config::infer().await?)?;
    let unbound = |source| Error::Listen { address: options.listen, source };
    let listener = listen(options.listen).map_err(unbound)?;
    let address = listener.local_addr().map_err(unbound)?;
    let (metrics, health) = (Arc::new(Metrics::new()), Arc::<Health>::default());
    let answers = health::serve(listener, Arc::clone(&health), Arc::clone(&metrics), shutdown.clone());
    info!(%address, image = options.image, namespace = options.watch_namespace, "operator ready");
    let served = tokio::select! {
        answered = answers => answered.map_err(unbound),
        worked = lead_and_control(client, &options, &metrics, &health, &shutdown) => worked,
    };
    info!("operator stopped");
    served
}

async fn lead_and_control(
    client: Client,
    options: &Options,
    metrics: &Arc<Metrics>,
    health: &Health,
    shutdown: &CancellationToken,
) -> Result<(), Error> {
    let leader = tokio::select! {
        leader = leader::lead(&client, &options.leadership) => leader?,
        () = shutdown.cancelled() => return Ok(()),
    };
    metrics.note_leadership(true);
    let work = control(client, options, metrics, health, shutdown);
    match leader {
        None => work.await,
        Some(leader) => tokio::select! {
            worked = work => worked,
            lost = leader.lost() => Err(lost.into()),
        },
    }
}

/// Reconciles experiments over this client until it is cancelled: the operator without leadership, health and metrics.
///
/// # Errors
/// The resource is not defined, or the API cannot be asked.
pub async fn reconcile_all(client: Client, options: &Options, shutdown: &CancellationToken) -> Result<(), Error> {
    control(client, options, &Arc::new(Metrics::new()), &Health::default(), shutdown).await
}

async fn control(
    client: Client,
    options: &Options,
    metrics: &Arc<Metrics>,
    health: &Health,
    shutdown: &CancellationToken,
) -> Result<(), Error> {
    let experiments = scope::<Experiment>(&client, options);
    match experiments.list(&ListParams::default().limit(1)).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => return Err(Error::Undefined),
        listed => drop(listed?),
    }
    let (reader, writer) = reflector::store();
    // Only heads are kept in memory, and of them only what is needed; a step reads the resource itself.
    let changed = watcher(experiments, watcher::Config::default().page_size(PAGE_LEN))
        .default_backoff()
        .modify(strip)
        .reflect(writer)
        .applied_objects()
        .predicate_filter(predicates::generation, Default::default());
    // It is there only where nothing was before.
    let _ = health.store.set(reader.clone());
    let context = Arc::new(Context {
        client: client.clone(),
        settings: Settings::of(options),
        metrics: Arc::clone(metrics),
        identity: options.leadership.identity.clone().unwrap_or_else(|| "operator".to_owned()),
    });
    let step = |resource, context: Arc<Context>| async move {
        let begun = Instant::now();
        let stepped = reconcile(resource, Arc::clone(&context)).await;
        context.metrics.note_step(begun.elapsed());
        stepped
    };
    let steps = Controller::for_stream(changed, reader)
        .watches_stream(parts::<Deployment>(&client, options), |part| experiment_of(&part))
        .watches_stream(parts::<Job>(&client, options), |part| experiment_of(&part))
        .watches_stream(parts::<Pod>(&client, options), |part| experiment_of(&part))
        .with_config(controller::Config::default().concurrency(STEPS_AT_ONCE))
        .graceful_shutdown_on(shutdown.clone().cancelled_owned())
        .run(step, again, context)
        .for_each(async |stepped| {
            if let Err(error) = stepped {
                debug!(%error, "step not taken");
            }
        });
    tokio::select! {
        () = steps => {}
        () = async { shutdown.cancelled().await; tokio::time::sleep(SHUTDOWN_WITHIN).await } => {}
    }
    Ok(())
}

/// Changes of the parts of one kind, heads only.
fn parts<K>(
    client: &Client,
    options: &Options,
) -> impl futures::Stream<Item = Result<PartialObjectMeta<K>, watcher::Error>> + Send + 'static
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug + Send + Sync + 'static,
{
    let ours = watcher::Config::default().labels(&format!("{MANAGED_BY_LABEL}={MANAGER}")).page_size(PAGE_LEN);
    watcher(scope::<PartialObjectMeta<K>>(client, options), ours)
        .default_backoff()
        .touched_objects()
        .map_ok(|part| part)
}

/// All objects of a kind that this operator may care for.
fn scope<K>(client: &Client, options: &Options) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match &options.watch_namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// The experiment that a part belongs to.
fn experiment_of(part: &impl Resource) -> Option<ObjectRef<Experiment>> {
    let name = part.labels().get(EXPERIMENT_LABEL)?;
    Some(ObjectRef::new(name).within(&part.namespace()?))
}

fn strip(experiment: &mut Experiment) {
    experiment.metadata.managed_fields = None;
    experiment.metadata.annotations = None;
    experiment.metadata.labels = None;
}
