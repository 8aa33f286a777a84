//! The schema of the definition, evaluated by jsonschema. Unknown fields are refused, as `kubectl` does it.

use std::sync::LazyLock;

use jsonschema::{ValidationError, Validator, error::ValidationErrorKind, paths::LocationSegment};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use paylab_core::{field_error::FieldError, text_form::EXPERIMENT_NAME};
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::{
    definition,
    path::join,
    spec::NAME_LEN_MAX,
    validation::words::{kind_of, mismatch, path_of, shown},
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

/// Removes the fields of a resource that are null: the API server treats them as absent, and so do the rules.
pub(super) fn prune_nulls(resource: &mut Value) {
    prune(resource, &RESOURCE.schema);
}

fn prune(value: &mut Value, schema: &Value) {
    match value {
        Value::Object(fields) => {
            let known = &schema["properties"];
            fields.retain(|field, value| !value.is_null() || known.get(field).is_none());
            fields.iter_mut().for_each(|(field, value)| prune(value, &known[field.as_str()]));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| prune(item, &schema["items"])),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

impl Schema {
    fn of(schema: Value, prefix: &'static str) -> Self {
        let validator =
            jsonschema::options().should_validate_formats(true).build(&schema).map_err(|error| error.to_string());
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
    let mut spec = definition::schema()["properties"]["spec"].clone();
    close(&mut spec);
    spec
}

/// The schema of a whole resource.
fn resource_schema() -> Value {
    json!({
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": false,
        "properties": {
            "apiVersion": {"enum": ["paylab.dev/v1alpha1"]},
            "kind": {"enum": ["ChaosExperiment"]},
            "metadata": metadata_schema(),
            "spec": spec_schema(),
            "status": {},
        },
    })
}

/// The schema of a resource's metadata, in which a name is required.
fn metadata_schema() -> Value {
    let settings = SchemaSettings::default().with(|settings| settings.inline_subschemas = true);
    let mut metadata = json!(settings.into_generator().into_root_schema_for::<ObjectMeta>());
    metadata["required"] = json!(["name"]);
    metadata["properties"]["name"] =
        json!({"type": "string", "maxLength": NAME_LEN_MAX, "pattern": EXPERIMENT_NAME.pattern});
    close(&mut metadata);
    metadata
}

/// Turns the API server's dialect of JSON Schema into the standard: closed objects, types that may be null, and the bounds that
/// the size of an integer sets.
fn close(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    if fields.contains_key("properties") {
        fields.insert("additionalProperties".to_owned(), json!(false));
    }
    if fields.remove("nullable") == Some(json!(true)) {
        let kind = fields.get("type").cloned().unwrap_or_default();
        fields.insert("type".to_owned(), json!([kind, "null"]));
    }
    if fields.remove("x-kubernetes-int-or-string") == Some(json!(true)) {
        fields.insert("type".to_owned(), json!(["integer", "string"]));
    }
    let bounds = match fields.get("format").and_then(Value::as_str) {
        Some("int32") => Some((i64::from(i32::MIN), i64::from(i32::MAX))),
        Some("int64") => Some((i64::MIN, i64::MAX)),
        _ => None,
    };
    if let Some((least, most)) = bounds {
        fields.entry("minimum").or_insert(json!(least));
        fields.entry("maximum").or_insert(json!(most));
    }
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        properties.values_mut().for_each(close);
    }
    for each in ["items", "additionalProperties"] {
        if let Some(schema) = fields.get_mut(each) {
            close(schema);
        }
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
        ValidationErrorKind::Format { .. } => one(format!("{value} is not a time such as \"2026-01-31T12:00:00Z\"")),
        ValidationErrorKind::Type { kind } => one(format!("{value} is not {}", kind_of(kind))),
        // The schema uses no other keyword. If it did, the message would be the library's own.
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
