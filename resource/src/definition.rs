//! The CustomResourceDefinition, which the schema of [`crate::spec`] makes, with the one rule that is about the whole resource.

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, ValidationRule,
};
use kube_core::CustomResourceExt as _;

use paylab_core::text_form::EXPERIMENT_NAME;
use serde_json::{Value, json};

use crate::spec::{ChaosExperiment, NAME_LEN_MAX};

/// The observed generation of a resource that no operator has seen. It is never the generation of a resource, so that tools which read
/// kstatus do not take a resource for healthy before an operator has looked at it.
const UNSEEN: i64 = -1;

/// The resource's definition, as `paylab crd` prints it and the chart installs it.
///
/// The rule on the name is added here, because the derive macro adds rules to the whole resource only in crates that depend
/// on all of kube.
#[must_use]
pub fn definition() -> CustomResourceDefinition {
    let mut definition = ChaosExperiment::crd();
    let name = ValidationRule {
        rule: format!(
            "self.metadata.name.size() <= {NAME_LEN_MAX} && self.metadata.name.matches('{}')",
            EXPERIMENT_NAME.pattern
        ),
        message: Some(format!(
            "metadata.name must have at most {NAME_LEN_MAX} lower-case letters, digits or inner dashes and begin with a \
             letter: the names of the parts are made from it"
        )),
        ..ValidationRule::default()
    };
    let versions = definition.spec.versions.iter_mut();
    let schemas = versions.filter_map(|version| version.schema.as_mut()?.open_api_v3_schema.as_mut());
    schemas.for_each(|schema: &mut JSONSchemaProps| {
        schema.x_kubernetes_validations = Some(vec![name.clone()]);
        let status = schema.properties.as_mut().and_then(|properties| properties.get_mut("status"));
        if let Some(status) = status {
            status.default = Some(JSON(json!({"observedGeneration": UNSEEN})));
        }
    });
    definition
}

/// The schema in the definition, with its rules. It is made once, because that takes as long as reading a file does.
pub(crate) fn schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> =
        LazyLock::new(|| json!(definition())["spec"]["versions"][0]["schema"]["openAPIV3Schema"].take());
    &SCHEMA
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::ChaosExperimentStatus;

    #[test]
    fn a_resource_that_no_operator_has_seen_has_a_status_of_no_generation() {
        let definition = serde_json::to_value(definition()).unwrap();
        let status = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["default"];
        assert_eq!(*status, json!({"observedGeneration": -1}));
        let read: ChaosExperimentStatus = serde_json::from_value(status.clone()).unwrap();
        assert_eq!(read, ChaosExperimentStatus { observed_generation: Some(-1), ..ChaosExperimentStatus::default() });
    }
}
