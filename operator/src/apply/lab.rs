//! Creates the lab, launches the load, and deletes the lab.

use k8s_openapi::{
    api::{batch::v1::Job, core::v1::ConfigMap},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    api::{DeleteParams, Preconditions},
};

use super::create::{Creation, create, create_all};
use crate::{
    decide::{PodProblem, lab_changes::Fingerprint},
    desired::{self, Lab, Settings},
    names,
    observe::{Observed, Ownership},
    planned::PlannedExperiment,
};

/// Creates the lab: the plan first, because it owns the other objects; the Deployments last.
///
/// # Errors
/// A request to the API failed.
pub(crate) async fn create_lab(
    client: &Client,
    experiment: &PlannedExperiment,
    settings: &Settings,
) -> kube::Result<Creation> {
    let plan = desired::plan(experiment, settings);
    match create(client, &plan, &experiment.owner.uid).await? {
        Creation::Complete => {}
        blocked @ Creation::Blocked(_) => return Ok(blocked),
    }
    let plans = Api::<ConfigMap>::namespaced(client.clone(), &experiment.namespace);
    let Some(plan) = plans.get_opt(&plan.name_any()).await? else {
        return Ok(Creation::Blocked(PodProblem::former_run()));
    };
    let owner = owner_of(&plan);
    let Lab { policies, services, deployments } = desired::lab(experiment, &settings.with_image_of(&plan), &owner);
    for creation in [
        create_all(client, &policies, &owner.uid).await?,
        create_all(client, &services, &owner.uid).await?,
        create_all(client, &deployments, &owner.uid).await?,
    ] {
        match creation {
            Creation::Complete => {}
            blocked @ Creation::Blocked(_) => return Ok(blocked),
        }
    }
    Ok(Creation::Complete)
}

/// Creates the load's Job; `lab` is the fingerprint of the lab.
///
/// # Errors
/// A request to the API failed.
pub(crate) async fn launch_load(
    client: &Client,
    experiment: &PlannedExperiment,
    settings: &Settings,
    observed: &Observed,
    lab: &Fingerprint,
) -> kube::Result<Creation> {
    let Some((_, plan)) = &observed.plan else { return Ok(Creation::Blocked(PodProblem::former_run())) };
    let owner = owner_of(plan);
    let job: Job = desired::job(experiment, &settings.with_image_of(plan), &owner, &lab.to_string());
    create(client, &job, &owner.uid).await
}

/// Deletes the lab, if it exists: the plan is deleted, and Kubernetes deletes everything that it owns.
///
/// # Errors
/// A request to the API failed.
pub(crate) async fn delete_lab(client: &Client, experiment: &PlannedExperiment) -> kube::Result<()> {
    let plans = Api::<ConfigMap>::namespaced(client.clone(), &experiment.namespace);
    let Some(plan) = plans.get_opt(&names::plan(&experiment.name)).await? else { return Ok(()) };
    if Ownership::of(&plan, &experiment.owner.uid) != Ownership::Ours || plan.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    let this_plan = Preconditions { uid: plan.uid(), resource_version: None };
    let background = DeleteParams::background().preconditions(this_plan);
    match plans.delete(&plan.name_any(), &background).await {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        deleted => deleted.map(|_| ()),
    }
}

fn owner_of(plan: &ConfigMap) -> OwnerReference {
    let owner = plan.controller_owner_ref(&()).unwrap_or_default();
    OwnerReference { block_owner_deletion: Some(true), ..owner }
}
