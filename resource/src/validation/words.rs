//! The words of error messages: values, types, paths and forms of texts.

use jsonschema::{ValidationError, error::TypeKind, paths::LocationSegment};
use paylab_core::text_form;
use serde_json::Value;

use crate::path::{cut, join, join_index};

/// What is wrong with a text that does not match a pattern.
pub(super) fn mismatch(pattern: &str) -> String {
    let form = text_form::ALL.iter().find(|form| form.pattern == pattern);
    form.map_or_else(|| format!("does not match {pattern}"), |form| form.mismatch.to_owned())
}

pub(super) fn kind_of(kind: &TypeKind) -> String {
    let names: Vec<String> = match kind {
        TypeKind::Single(one) => vec![one.to_string()],
        TypeKind::Multiple(several) => {
            several.iter().map(|kind| kind.to_string()).filter(|kind| kind != "null").collect()
        }
    };
    let article = |name: &String| match name.as_str() {
        "integer" => "a whole number".to_owned(),
        "array" => "a list".to_owned(),
        "object" => "an object with fields".to_owned(),
        "string" => "a text (put it in quotes)".to_owned(),
        other => format!("a {other}"),
    };
    names.iter().map(article).collect::<Vec<_>>().join(" or ")
}

pub(super) fn path_of(error: &ValidationError<'_>) -> String {
    error.instance_path().into_iter().fold(String::new(), |path, segment| match segment {
        LocationSegment::Property(field) => join(&path, &field),
        LocationSegment::Index(index) => join_index(&path, index),
    })
}

/// A value as JSON, cut to a length that fits a line; whole numbers without a fraction.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::Null => "null".to_owned(),
        Value::Number(number) => {
            let text = number.to_string();
            text.strip_suffix(".0").unwrap_or(&text).to_owned()
        }
        Value::String(_) | Value::Bool(_) => cut(&value.to_string()),
    }
}
