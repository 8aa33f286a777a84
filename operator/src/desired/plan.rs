//! The experiment's file, as the load reads it, in a `ConfigMap` that owns all other objects of the lab.

use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use serde_json::json;

use super::{metadata::meta, settings::Settings};
use crate::{names, planned::PlannedExperiment};

/// The key of the experiment's file in the `ConfigMap`.
pub(super) const FILE: &str = "experiment.yaml";

/// The experiment's file.
pub(super) fn file(experiment: &PlannedExperiment) -> String {
    let resource = json!({
        "apiVersion": experiment.owner.api_version,
        "kind": experiment.owner.kind,
        "metadata": {"name": experiment.name},
        "spec": experiment.spec,
    });
    // Writing a JSON value as YAML does not fail; if it did, JSON would do, because JSON is valid YAML.
    serde_saphyr::to_string(&resource).unwrap_or_else(|_| resource.to_string())
}

/// The `ConfigMap`, owned by the experiment.
pub(crate) fn plan(experiment: &PlannedExperiment, settings: &Settings) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(names::plan(&experiment.name)),
            annotations: Some([(names::IMAGE_ANNOTATION.to_owned(), settings.image.clone())].into()),
            ..meta(experiment, &experiment.owner)
        },
        data: Some([(FILE.to_owned(), file(experiment))].into()),
        immutable: Some(true),
        ..ConfigMap::default()
    }
}
