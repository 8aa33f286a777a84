//! The schema of the definition, evaluated by jsonschema. Unknown fields are refused, as `kubectl` does it.

use std::sync::LazyLock;

use jsonschema::{ValidationError, Validator, error::ValidationErrorKind, paths::LocationSegment};
use paylab_core::{field_error::FieldError, text_form::EXPERIMENT_NAME};
use serde_json::{Value, json};

use crate::{
    definition::definition,
    spec::NAME_LEN_MAX,
    validation::words::{join, kind_of, mismatch, path_of, shown},
};

/// A schema that is ready to be evaluated.
struct Schema {
    schema: Value,
    validator: Result<Validator, String>,
    /// The path of what it describes, with a dot at its end.
    prefix: &'static str,
}

static RESOURCE: LazyLock<Schema> = LazyLock::new(|| Schema::of(resource_schema(), ""));
static SPEC: LazyLock<Schema> = LazyLock::new(|| Schema::of(spec_schema(), "spec."));

/// What the schema says about a whole resource.
pub(super) fn check_resource(resource: &Value) -> Vec<FieldError> {
    RESOURCE.check(resource)
}

/// What the schema says about a spec.
pub(super) fn check_spec(spec: &Value) -> Vec<FieldError> {
    SPEC.check(spec)
}

impl Schema {
    fn of(schema: Value, prefix: &'static str) -> Self {
        let validator = jsonschema::validator_for(&schema).map_err(|error| error.to_string());
        Self { schema, validator, prefix }
    }

    fn check(&self, value: &Value) -> Vec<FieldError> {
        match &self.validator {
            Ok(validator) => {
                let errors = validator.iter_errors(value).flat_map(|error| errors_of(&error, &self.schema));
                errors.map(|error| FieldError { field: format!("{}{}", self.prefix, error.field), ..error }).collect()
            }
            Err(error) => vec![FieldError::new("", format!("the schema of the resource is broken: {error}"))],
        }
    }
}

/// The schema of a spec.
fn spec_schema() -> Value {
    let definition = json!(definition());
    let mut spec = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone();
    close(&mut spec);
    spec
}

/// The schema of a whole resource.
fn resource_schema() -> Value {
    let name = json!({"type": "string", "maxLength": NAME_LEN_MAX, "pattern": EXPERIMENT_NAME.pattern});
    json!({
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": false,
        "properties": {
            "apiVersion": {"enum": ["paylab.dev/v1alpha1"]},
            "kind": {"enum": ["ChaosExperiment"]},
            "metadata": {"type": "object", "required": ["name"], "properties": {"name": name}},
            "spec": spec_schema(),
            "status": {},
        },
    })
}

/// Turns the API server's dialect of JSON Schema into the standard: closed objects, and types that may be null.
fn close(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    if fields.contains_key("properties") {
        fields.insert("additionalProperties".to_owned(), json!(false));
    }
    if fields.remove("nullable") == Some(json!(true)) {
        let kind = fields.get("type").cloned().unwrap_or_default();
        fields.insert("type".to_owned(), json!([kind, "null"]));
    }
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        properties.values_mut().for_each(close);
    }
    if let Some(items) = fields.get_mut("items") {
        close(items);
    }
}

fn errors_of(error: &ValidationError<'_>, schema: &Value) -> Vec<FieldError> {
    let path = path_of(error);
    let value = shown(error.instance());
    let one = |problem: String| vec![FieldError::new(path.clone(), problem)];
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let problem = format!("is not a known field; known are {}", known_fields(error, schema));
            unexpected.iter().map(|field| FieldError::new(join(&path, field), problem.clone())).collect()
        }
        ValidationErrorKind::Required { property } => {
            let field = property.as_str().unwrap_or_default();
            vec![FieldError::new(join(&path, field), "is missing")]
        }
        ValidationErrorKind::Enum { options } => {
            let allowed: Vec<_> = options.as_array().into_iter().flatten().map(shown).collect();
            one(format!("{value} is not allowed; use {}", allowed.join(", ")))
        }
        ValidationErrorKind::Minimum { limit } => {
            one(format!("{value} is too small; at least {} is allowed", shown(limit)))
        }
        ValidationErrorKind::Maximum { limit } => {
            one(format!("{value} is too large; at most {} is allowed", shown(limit)))
        }
        ValidationErrorKind::MinLength { limit } => one(format!("{value} is too short; at least {limit} characters")),
        ValidationErrorKind::MaxLength { limit } => one(format!("{value} is too long; at most {limit} characters")),
        ValidationErrorKind::MinItems { limit } => one(format!("has too few items; at least {limit}")),
        ValidationErrorKind::MaxItems { limit } => one(format!("has too many items; at most {limit} are allowed")),
        ValidationErrorKind::Pattern { pattern } => one(format!("{value} {}", mismatch(pattern))),
        ValidationErrorKind::Type { kind } => one(format!("{value} is not {}", kind_of(kind))),
        // The schema uses no other keyword; should it one day, the library's own words are better than none.
        _ => one(error.to_string()),
    }
}

/// The fields that the object at the error's place may have.
fn known_fields(error: &ValidationError<'_>, schema: &Value) -> String {
    let place = error.instance_path().into_iter().fold(schema, |schema, segment| match segment {
        LocationSegment::Property(field) => &schema["properties"][field.as_ref()],
        LocationSegment::Index(_) => &schema["items"],
    });
    place["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(field, _)| field.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}
