//! Names, labels and owners of a lab's objects.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use crate::{
    names::{self, Part},
    planned::PlannedExperiment,
};

/// The metadata of an object that belongs to one part.
pub(super) fn part_meta(experiment: &PlannedExperiment, part: Part, owner: &OwnerReference) -> ObjectMeta {
    ObjectMeta {
        name: Some(names::part(&experiment.name, part)),
        labels: Some(names::part_labels(&experiment.name, experiment.id.as_str(), part)),
        ..meta(experiment, owner)
    }
}

/// The metadata of an object that belongs to the whole lab. The caller sets the name.
pub(super) fn meta(experiment: &PlannedExperiment, owner: &OwnerReference) -> ObjectMeta {
    ObjectMeta {
        namespace: Some(experiment.namespace.clone()),
        labels: Some(names::labels(&experiment.name, experiment.id.as_str())),
        owner_references: Some(vec![owner.clone()]),
        ..ObjectMeta::default()
    }
}
