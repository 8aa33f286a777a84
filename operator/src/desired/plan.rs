//! The experiment as the load reads it. Its `ConfigMap` is the root of the lab.

use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use serde_json::json;

use super::{Settings, meta};
use crate::{names, planned::Run};

/// The key of the experiment's file.
pub(super) const FILE: &str = "experiment.yaml";

/// The root of the lab, owned by the experiment.
pub(crate) fn plan(run: &Run, settings: &Settings) -> ConfigMap {
    let experiment = json!({
        "apiVersion": run.owner.api_version,
        "kind": run.owner.kind,
        "metadata": {"name": run.name},
        "spec": run.spec,
    });
    // JSON is YAML, and the writer of YAML has no reason to fail where that of JSON has none.
    let file = serde_saphyr::to_string(&experiment).unwrap_or_else(|_| experiment.to_string());
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(names::plan(&run.name)),
            annotations: Some([(names::IMAGE_ANNOTATION.to_owned(), settings.image.clone())].into()),
            ..meta(run, &run.owner)
        },
        data: Some([(FILE.to_owned(), file)].into()),
        immutable: Some(true),
        ..ConfigMap::default()
    }
}
