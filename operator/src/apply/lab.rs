//! Creates the lab, launches the load, stops the lab and deletes it.

use std::net::IpAddr;

use k8s_openapi::{
    api::{apps::v1::Deployment, batch::v1::Job, core::v1::ConfigMap},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use serde_json::json;

use super::create::{Creation, create, create_all, created};
use crate::{
    decide::{PodProblem, lab_changes::Fingerprint},
    desired::{self, Lab, Settings},
    names,
    observe::{Observed, Ownership, controls},
    planned::PlannedExperiment,
};

/// A lab as far as it could be created.
pub(crate) struct CreatedLab {
    /// The plan, if it exists.
    pub(crate) plan: Option<ConfigMap>,
    pub(crate) creation: Creation,
}

/// Creates the lab: the plan first, because it owns the other objects; the Deployments last.
///
/// # Errors
/// A request to the API failed.
pub(crate) async fn create_lab(
    client: &Client,
    experiment: &PlannedExperiment,
    settings: &Settings,
) -> kube::Result<CreatedLab> {
    let plan = match created(client, &desired::plan(experiment, settings), &experiment.owner.uid).await? {
        Ok(plan) => plan,
        Err(problem) => return Ok(CreatedLab { plan: None, creation: Creation::Blocked(problem) }),
    };
    let creation = create_parts(client, experiment, settings, &plan).await?;
    Ok(CreatedLab { plan: Some(plan), creation })
}

/// Creates what the plan owns.
async fn create_parts(
    client: &Client,
    experiment: &PlannedExperiment,
    settings: &Settings,
    plan: &ConfigMap,
) -> kube::Result<Creation> {
    let owner = owner_of(plan);
    let Lab { policies, services, deployments } = desired::lab(experiment, &settings.with_image_of(plan), &owner);
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

/// Creates the load's Job; `lab` is the fingerprint of the lab, and `proxy` the address of the reset proxy's pod.
///
/// # Errors
/// A request to the API failed.
pub(crate) async fn launch_load(
    client: &Client,
    experiment: &PlannedExperiment,
    settings: &Settings,
    observed: &Observed,
    lab: &Fingerprint,
    proxy: IpAddr,
) -> kube::Result<Creation> {
    let Some((_, plan)) = &observed.plan else { return Ok(Creation::Blocked(PodProblem::former_run())) };
    let owner = owner_of(plan);
    let job: Job = desired::job(experiment, &settings.with_image_of(plan), &owner, &lab.to_string(), proxy);
    create(client, &job, &owner.uid).await
}

/// Scales the parts of a lab that is kept to 0, so that it takes no room that others need. What remains are its objects, and the load's pods with
/// their logs. Returns the UID of its plan, if there is one.
///
/// # Errors
/// A request to the API failed.
pub(crate) async fn stop_lab(client: &Client, experiment: &PlannedExperiment) -> kube::Result<Option<String>> {
    let deployments = Api::<Deployment>::namespaced(client.clone(), &experiment.namespace);
    let plans = Api::<ConfigMap>::namespaced(client.clone(), &experiment.namespace);
    let Some(plan) = plans.get_opt(&names::plan(&experiment.name)).await? else { return Ok(None) };
    if Ownership::of(&plan, &experiment.owner.uid) != Ownership::Ours {
        return Ok(None);
    }
    for (part, _) in experiment.lab_parts() {
        let Some(deployment) = deployments.get_opt(&names::part(&experiment.name, part)).await? else { continue };
        let runs = deployment.spec.as_ref().is_some_and(|spec| spec.replicas != Some(0));
        if !runs || !controls(plan.metadata.uid.as_deref(), &deployment) {
            continue;
        }
        // Only this Deployment, and only as it was read.
        let metadata = json!({"uid": deployment.metadata.uid, "resourceVersion": deployment.metadata.resource_version});
        let stopped = Patch::Merge(json!({"metadata": metadata, "spec": {"replicas": 0}}));
        deployments.patch(&deployment.name_any(), &PatchParams::default(), &stopped).await?;
    }
    Ok(plan.metadata.uid)
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
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        // After a conflict, the next reconcile reads whose plan it is now.
        deleted => deleted.map(|_| ()),
    }
}

fn owner_of(plan: &ConfigMap) -> OwnerReference {
    let owner = plan.controller_owner_ref(&()).unwrap_or_default();
    OwnerReference { block_owner_deletion: Some(true), ..owner }
}
