//! The CEL rules of the definition, evaluated by kube-cel.

use std::sync::LazyLock;

use kube_cel::{ValidationError, Validator};
use paylab_core::field_error::FieldError;
use serde_json::{Value, json};

use crate::definition::definition;

/// The schema of the resource, with its rules.
static SCHEMA: LazyLock<Value> =
    LazyLock::new(|| json!(definition())["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone());

/// What the rules say about a whole resource that the schema accepts.
pub(super) fn check_resource(resource: &Value) -> Vec<FieldError> {
    check(&SCHEMA, resource, "")
}

/// What the rules say about a spec that the schema accepts.
pub(super) fn check_spec(spec: &Value) -> Vec<FieldError> {
    check(&SCHEMA["properties"]["spec"], spec, "spec.")
}

fn check(schema: &Value, value: &Value, prefix: &str) -> Vec<FieldError> {
    let Err(errors) = Validator::new().validate_with_defaults(schema, value, None) else { return Vec::new() };
    let error =
        |error: &ValidationError| FieldError::new(format!("{prefix}{}", error.field_path), error.message.clone());
    errors.as_slice().iter().map(error).collect()
}
