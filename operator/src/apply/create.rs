//! Creates objects and never changes them: one experiment is one run, so existing objects stay as they are, and an object of
//! somebody else is reported instead of being taken over.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt as _, api::PostParams};
use serde::{Serialize, de::DeserializeOwned};

use crate::{decide::PodProblem, observe::Ownership};

/// The result of creating objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Creation {
    /// All objects exist.
    Complete,
    /// One of the objects cannot be created, at least for now.
    Blocked(PodProblem),
}

/// Creates objects of one kind, up to the first that is blocked.
///
/// # Errors
/// A request to the API failed.
pub(super) async fn create_all<K>(client: &Client, objects: &[K], owner_uid: &str) -> kube::Result<Creation>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    for object in objects {
        match create(client, object, owner_uid).await? {
            Creation::Complete => {}
            blocked @ Creation::Blocked(_) => return Ok(blocked),
        }
    }
    Ok(Creation::Complete)
}

/// Creates one object, unless this run has created it before.
///
/// # Errors
/// A request to the API failed.
pub(super) async fn create<K>(client: &Client, object: &K, owner_uid: &str) -> kube::Result<Creation>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    Ok(created(client, object, owner_uid).await?.map_or_else(Creation::Blocked, |_| Creation::Complete))
}

/// The same, and returns the object as it is on the cluster, or what blocks its creation.
///
/// # Errors
/// A request to the API failed.
pub(super) async fn created<K>(client: &Client, object: &K, owner_uid: &str) -> kube::Result<Result<K, PodProblem>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let api = Api::<K>::namespaced(client.clone(), &namespace);
    match api.create(&PostParams::default(), object).await {
        Ok(created) => Ok(Ok(created)),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            let existing = api.get_opt(&name).await?;
            let ownership = existing.as_ref().map(|existing| Ownership::of(existing, owner_uid));
            Ok(match (existing, ownership) {
                (Some(existing), Some(Ownership::Ours)) => Ok(existing),
                (_, Some(Ownership::Orphan)) => Err(PodProblem::orphan(&K::kind(&()), &namespace, &name)),
                (_, Some(Ownership::Foreign)) => Err(PodProblem::name_taken(&K::kind(&()), Some(&name))),
                (_, Some(Ownership::Former | Ownership::Ours) | None) => Err(PodProblem::former_run()),
            })
        }
        Err(kube::Error::Api(status)) if !status.is_conflict() => {
            Ok(Err(PodProblem::refused(&format!("the {} {name}", K::kind(&())), &status)))
        }
        Err(error) => Err(error),
    }
}
