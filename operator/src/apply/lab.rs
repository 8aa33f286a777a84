//! Makes objects. It creates and never changes: one experiment is one run, so what is there stays as it is, and an object of
//! somebody else's is met with a refusal of the API server instead of being taken over.

use std::fmt::Debug;

use k8s_openapi::{
    NamespaceResourceScope,
    api::{batch::v1::Job, core::v1::ConfigMap},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{DeleteParams, PostParams, Preconditions},
    core::Status,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    decide::decision::{former, taken},
    desired::{self, Lab, Settings},
    names,
    observe::pods::{Patience, Trouble},
    observe::{Observed, Ownership},
    planned::Run,
};

/// How the making of objects went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Made {
    /// Everything is there.
    All,
    /// Something is in the way.
    Obstructed(Trouble),
}

/// Makes the lab: the plan first, because it owns the rest; Deployments last.
///
/// # Errors
/// The API cannot be asked.
pub(crate) async fn build(client: &Client, run: &Run, settings: &Settings) -> kube::Result<Made> {
    let plan = desired::plan(run, settings);
    match create(client, &plan, &run.owner.uid).await? {
        Made::All => {}
        other => return Ok(other),
    }
    let plans = Api::<ConfigMap>::namespaced(client.clone(), &run.namespace);
    let Some(plan) = plans.get_opt(&plan.name_any()).await? else { return Ok(Made::Obstructed(former())) };
    let owner = owner_of(&plan);
    let Lab { policies, services, deployments } = desired::lab(run, &settings.as_begun(&plan), &owner);
    for made in [
        create_all(client, &policies, &owner.uid).await?,
        create_all(client, &services, &owner.uid).await?,
        create_all(client, &deployments, &owner.uid).await?,
    ] {
        if made != Made::All {
            return Ok(made);
        }
    }
    Ok(Made::All)
}

/// Makes the load's Job.
///
/// # Errors
/// The API cannot be asked.
pub(crate) async fn launch(
    client: &Client,
    run: &Run,
    settings: &Settings,
    observed: &Observed,
    lab: &str,
) -> kube::Result<Made> {
    let Some((_, plan)) = &observed.plan else { return Ok(Made::Obstructed(former())) };
    let owner = owner_of(plan);
    let job: Job = desired::job(run, &settings.as_begun(plan), &owner, lab);
    create(client, &job, &owner.uid).await
}

/// Takes the whole lab down, if it is there: the plan goes, and all that it owns follows.
///
/// # Errors
/// The API cannot be asked.
pub(crate) async fn demolish(client: &Client, run: &Run) -> kube::Result<()> {
    let plans = Api::<ConfigMap>::namespaced(client.clone(), &run.namespace);
    let Some(plan) = plans.get_opt(&names::plan(&run.name)).await? else { return Ok(()) };
    if Ownership::of(&plan, &run.owner.uid) != Ownership::Ours || plan.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    let this_one = Preconditions { uid: plan.uid(), resource_version: None };
    let background = DeleteParams::background().preconditions(this_one);
    match plans.delete(&plan.name_any(), &background).await {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        deleted => deleted.map(|_| ()),
    }
}

fn owner_of(plan: &ConfigMap) -> OwnerReference {
    let owner = plan.controller_owner_ref(&()).unwrap_or_default();
    OwnerReference { block_owner_deletion: Some(true), ..owner }
}

async fn create_all<K>(client: &Client, objects: &[K], owner_uid: &str) -> kube::Result<Made>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    for object in objects {
        match create(client, object, owner_uid).await? {
            Made::All => {}
            other => return Ok(other),
        }
    }
    Ok(Made::All)
}

async fn create<K>(client: &Client, object: &K, owner_uid: &str) -> kube::Result<Made>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let api = Api::<K>::namespaced(client.clone(), &namespace);
    match api.create(&PostParams::default(), object).await {
        Ok(_) => Ok(Made::All),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            Ok(match api.get_opt(&name).await?.map(|there| Ownership::of(&there, owner_uid)) {
                Some(Ownership::Ours) => Made::All,
                Some(Ownership::Former) | None => Made::Obstructed(former()),
                Some(Ownership::Foreign) => Made::Obstructed(taken(&K::kind(&()), Some(&name))),
            })
        }
        Err(kube::Error::Api(status)) if is_refusal(&status) => {
            let message = format!("the {} {name} is refused: {}", K::kind(&()), status.message);
            Ok(Made::Obstructed(Trouble::new(&status.reason, message, Patience::Short)))
        }
        Err(error) => Err(error),
    }
}

/// Whether an answer says that asking again will not help soon.
fn is_refusal(status: &Status) -> bool {
    status.is_forbidden() || status.is_invalid()
}
