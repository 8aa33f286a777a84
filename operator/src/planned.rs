//! One experiment as the operator sees it: who it is, and what is planned. Made anew from the resource each time.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt as _};
use paylab_experiment::{
    payment::RunId,
    plan::{Plan, Refusal},
    spec::{ChaosExperiment, ChaosExperimentSpec, Retain},
};

/// An experiment that can be run.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// The resource's UID, which names the run.
    pub(crate) id: RunId,
    pub(crate) owner: OwnerReference,
    pub(crate) spec: ChaosExperimentSpec,
    pub(crate) plan: Plan,
}

impl Run {
    /// Plans what a resource says.
    ///
    /// # Errors
    /// Everything that is wrong with it. A resource that the API server has admitted has nothing wrong with it, but for one
    /// that was stored under an older definition.
    pub(crate) fn of(resource: &ChaosExperiment) -> Result<Self, Vec<Refusal>> {
        let unborn = || vec![Refusal::new("metadata.uid", "is missing; only a resource of a cluster can be run")];
        let id: RunId = resource.uid().and_then(|uid| uid.parse().ok()).ok_or_else(unborn)?;
        let owner = resource.controller_owner_ref(&()).ok_or_else(unborn)?;
        let plan = Plan::parse(&resource.spec, id.seed())?;
        Ok(Self {
            namespace: resource.namespace().unwrap_or_default(),
            name: resource.name_any(),
            owner: OwnerReference { block_owner_deletion: Some(true), ..owner },
            spec: resource.spec.clone(),
            plan,
            id,
        })
    }

    /// Whether the parts of the finished run stay.
    pub(crate) fn keeps_parts(&self, verified: bool) -> bool {
        match self.spec.retain {
            Retain::Never => false,
            Retain::OnFailure => !verified,
            Retain::Always => true,
        }
    }
}
