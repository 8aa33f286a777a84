//! The validation of a resource against its definition: the schema first, then the CEL rules, as the API server does it. All
//! errors are reported at once, each with the path of its field and what is allowed.

mod cel;
mod schema;
mod words;

use paylab_core::field_error::FieldError;
use serde_json::Value;

/// Removes the fields of a resource that are null, as the API server does before it applies defaults.
pub fn prune_nulls(resource: &mut Value) {
    schema::prune_nulls(resource);
}

/// Everything that is wrong with a whole resource, in the order of fields.
#[must_use]
pub fn check_resource(resource: &Value) -> Vec<FieldError> {
    ordered(schema::check_resource(resource), || cel::check_resource(resource))
}

/// Everything that is wrong with a spec, in the order of fields.
#[must_use]
pub fn check_spec(spec: &Value) -> Vec<FieldError> {
    ordered(schema::check_spec(spec), || cel::check_spec(spec))
}

/// The rules are evaluated only on what the schema accepts, since they rely on its types.
fn ordered(by_schema: Vec<FieldError>, by_rules: impl FnOnce() -> Vec<FieldError>) -> Vec<FieldError> {
    let mut errors = if by_schema.is_empty() { by_rules() } else { by_schema };
    errors.sort();
    errors.dedup();
    errors
}
