//! Reads what is there of one experiment, once, at the start of a step. It must not decide anything.

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

use crate::{
    names::{self, MANAGED_BY_LABEL, MANAGER, Part, RUN_LABEL},
    planned::Run,
};

/// What is there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observed {
    pub(crate) plan: Option<(Ownership, ConfigMap)>,
    pub(crate) deployments: Vec<Deployment>,
    pub(crate) job: Option<Job>,
    pub(crate) pods: Vec<Pod>,
}

/// Whose an object with one of our names is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// It belongs to this run.
    Ours,
    /// It belongs to a former experiment of the same name and will be gone soon.
    Former,
    /// Somebody else made it.
    Foreign,
}

impl Ownership {
    /// Who owns an object, where this run's would be owned by `owner_uid`.
    pub(crate) fn of(object: &impl Resource, owner_uid: &str) -> Self {
        let owners = object.owner_references();
        let made_by_us = object.labels().get(MANAGED_BY_LABEL).is_some_and(|label| label == MANAGER);
        if owners.iter().any(|owner| owner.uid == owner_uid) {
            Self::Ours
        } else if made_by_us && owners.iter().any(|owner| owner.controller == Some(true)) {
            Self::Former
        } else {
            Self::Foreign
        }
    }
}

/// Looks at everything that belongs to a run. What has a name is asked for by it, because the API server answers a list only
/// when its cache has caught up.
///
/// # Errors
/// The API cannot be asked.
pub(crate) async fn observe(client: &Client, run: &Run) -> kube::Result<Observed> {
    let part = |part| names::part(&run.name, part);
    let ours = ListParams::default().labels(&names::selector(run.id.as_str()));
    let pods = Api::<Pod>::namespaced(client.clone(), &run.namespace);
    let (plan, service, proxy, job, pods) = tokio::try_join!(
        named::<ConfigMap>(client, run, names::plan(&run.name)),
        named::<Deployment>(client, run, part(Part::PaymentService)),
        named::<Deployment>(client, run, part(Part::ResetProxy)),
        named::<Job>(client, run, part(Part::LoadJob)),
        pods.list(&ours),
    )?;
    Ok(Observed {
        plan: plan.map(|plan| (Ownership::of(&plan, &run.owner.uid), plan)),
        deployments: [service, proxy].into_iter().flatten().filter(|deployment| is_of(run, deployment)).collect(),
        job: job.filter(|job| is_of(run, job)),
        pods: pods.items,
    })
}

async fn named<K>(client: &Client, run: &Run, name: String) -> kube::Result<Option<K>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    Api::<K>::namespaced(client.clone(), &run.namespace).get_opt(&name).await
}

/// Whether an object is of this run, and not of a former one with the same name.
fn is_of(run: &Run, object: &impl Resource) -> bool {
    object.labels().get(RUN_LABEL).is_some_and(|label| label == run.id.as_str())
}
