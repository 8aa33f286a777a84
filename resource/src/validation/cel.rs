//! The CEL rules of the definition, evaluated by kube-cel.

use std::sync::LazyLock;

use kube_cel::{CompiledSchema, ValidationError, Validator, compile_schema};
use paylab_core::field_error::FieldError;
use serde_json::Value;

use crate::definition;

/// The rules of the whole resource. They are read once, because that takes far longer than to evaluate them, which an operator does again and
/// again.
static RULES: LazyLock<CompiledSchema> = LazyLock::new(|| compile_schema(definition::schema()));

/// What the rules say about a whole resource that the schema accepts.
pub(super) fn check_resource(resource: &Value) -> Vec<FieldError> {
    check(&RULES, resource, "")
}

/// What the rules say about a spec that the schema accepts.
pub(super) fn check_spec(spec: &Value) -> Vec<FieldError> {
    RULES.properties.get("spec").map(|rules| check(rules, spec, "spec.")).unwrap_or_default()
}

fn check(rules: &CompiledSchema, value: &Value, prefix: &str) -> Vec<FieldError> {
    let Err(errors) = Validator::new().validate_compiled(rules, value, None) else { return Vec::new() };
    let error =
        |error: &ValidationError| FieldError::new(format!("{prefix}{}", error.field_path), error.message.clone());
    errors.as_slice().iter().map(error).collect()
}
