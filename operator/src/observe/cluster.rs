//! Reads all objects of one experiment's lab.

use std::fmt::Debug;

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        batch::v1::Job,
        core::v1::{ConfigMap, Pod},
    },
};
use kube::{Api, Client, Resource, ResourceExt as _, api::ListParams};
use serde::de::DeserializeOwned;

use super::ownership::Ownership;
use crate::{
    names::{self, Part, RUN_LABEL},
    planned::PlannedExperiment,
};

/// The objects of a lab that exist.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observed {
    pub(crate) plan: Option<(Ownership, ConfigMap)>,
    pub(crate) deployments: Vec<Deployment>,
    pub(crate) job: Option<Job>,
    pub(crate) pods: Vec<Pod>,
}

/// Reads everything that belongs to a run. Objects with a known name are read by that name, because the API server answers a
/// list only when its cache has caught up.
///
/// # Errors
/// A request to the API failed.
pub(crate) async fn observe(client: &Client, experiment: &PlannedExperiment) -> kube::Result<Observed> {
    let name = |part| names::part(&experiment.name, part);
    let of_this_run = ListParams::default().labels(&names::selector(experiment.id.as_str()));
    let pods = Api::<Pod>::namespaced(client.clone(), &experiment.namespace);
    let (plan, service, proxy, job, pods) = tokio::try_join!(
        read::<ConfigMap>(client, experiment, names::plan(&experiment.name)),
        read::<Deployment>(client, experiment, name(Part::PaymentService)),
        read::<Deployment>(client, experiment, name(Part::ResetProxy)),
        read::<Job>(client, experiment, name(Part::LoadJob)),
        pods.list(&of_this_run),
    )?;
    Ok(Observed {
        plan: plan.map(|plan| (Ownership::of(&plan, &experiment.owner.uid), plan)),
        deployments: [service, proxy].into_iter().flatten().filter(|one| is_of_run(experiment, one)).collect(),
        job: job.filter(|job| is_of_run(experiment, job)),
        pods: pods.items,
    })
}

async fn read<K>(client: &Client, experiment: &PlannedExperiment, name: String) -> kube::Result<Option<K>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    Api::<K>::namespaced(client.clone(), &experiment.namespace).get_opt(&name).await
}

/// Whether an object belongs to this run, and not to an earlier one with the same name.
fn is_of_run(experiment: &PlannedExperiment, object: &impl Resource) -> bool {
    object.labels().get(RUN_LABEL).is_some_and(|label| label == experiment.id.as_str())
}
