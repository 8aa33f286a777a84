//! The Deployment of a part.

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy},
        core::v1::PodTemplateSpec,
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference},
};

use super::metadata::part_meta;
use crate::{
    names::{self, Part},
    planned::PlannedExperiment,
};

/// The Deployment of a part. Old and new pods never run at the same time.
pub(super) fn of_part(
    experiment: &PlannedExperiment,
    part: Part,
    replicas: i32,
    pod: PodTemplateSpec,
    owner: &OwnerReference,
) -> Deployment {
    Deployment {
        metadata: part_meta(experiment, part, owner),
        spec: Some(DeploymentSpec {
            replicas: Some(replicas),
            selector: LabelSelector {
                match_labels: Some(names::part_labels(&experiment.name, experiment.id.as_str(), part)),
                ..LabelSelector::default()
            },
            strategy: Some(DeploymentStrategy { type_: Some("Recreate".to_owned()), rolling_update: None }),
            revision_history_limit: Some(0),
            template: pod,
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}
