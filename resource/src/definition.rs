//! The CustomResourceDefinition, which the schema of [`crate::spec`] makes, with the one rule that is about the whole resource.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, ValidationRule,
};
use kube_core::CustomResourceExt as _;

use paylab_core::text_form::EXPERIMENT_NAME;

use crate::spec::{ChaosExperiment, NAME_LEN_MAX};

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
    schemas.for_each(|schema: &mut JSONSchemaProps| schema.x_kubernetes_validations = Some(vec![name.clone()]));
    definition
}
