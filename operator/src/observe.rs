//! Reads what is there of one experiment, once, at the start of a step. It must not decide anything.

use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::Job,
    core::v1::{ConfigMap, Pod},
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{ListParams, ObjectList},
};

use crate::{
    names::{self, MANAGED_BY_LABEL, MANAGER},
    run::Run,
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

/// Looks at everything that belongs to a run.
///
/// # Errors
/// The API cannot be asked.
pub(crate) async fn observe(client: &Client, run: &Run) -> kube::Result<Observed> {
    let plans = Api::<ConfigMap>::namespaced(client.clone(), &run.namespace);
    let plan_name = names::plan(&run.name);
    let (plan, deployments, jobs, pods) = tokio::try_join!(
        plans.get_opt(&plan_name),
        mine::<Deployment>(client, run),
        mine::<Job>(client, run),
        mine::<Pod>(client, run),
    )?;
    Ok(Observed {
        plan: plan.map(|plan| (Ownership::of(&plan, &run.owner.uid), plan)),
        deployments: deployments.items,
        job: jobs.items.into_iter().next(),
        pods: pods.items,
    })
}

async fn mine<K>(client: &Client, run: &Run) -> kube::Result<ObjectList<K>>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let selected = ListParams::default().labels(&names::selector(run.id.as_str()));
    Api::<K>::namespaced(client.clone(), &run.namespace).list(&selected).await
}
