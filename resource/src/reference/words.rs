//! The words of the reference: types, bounds and values.

use paylab_core::text_form;
use serde_json::Value;

use crate::yaml::is_plain_text;

/// A text of a schema on one line; empty if there is none.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The type of a field, what is allowed, and its default.
pub(super) fn facts(schema: &Value, is_required: bool) -> Vec<String> {
    let mut facts = form(schema);
    let default = match &schema["default"] {
        Value::Null if is_required => Some("required".to_owned()),
        Value::Null => None,
        Value::Object(_) => Some("default: the defaults of its fields".to_owned()),
        value => Some(format!("default `{}`", yaml(value))),
    };
    facts.extend(default);
    facts
}

/// The type of a field, and what is allowed.
pub(super) fn form(schema: &Value) -> Vec<String> {
    [capitalised(&kind(schema))].into_iter().chain(bounds(schema)).collect()
}

fn kind(schema: &Value) -> String {
    let is_duration = schema["pattern"].as_str() == Some(text_form::DURATION.pattern);
    match schema["type"].as_str().unwrap_or_default() {
        "integer" => "whole number".to_owned(),
        "number" => "number".to_owned(),
        "boolean" => "true or false".to_owned(),
        "array" => format!("list of {}", plural(&kind(&schema["items"]))),
        "object" if schema["additionalProperties"].is_object() => {
            format!("map of names to {}", plural(&kind(&schema["additionalProperties"])))
        }
        "object" => "object".to_owned(),
        "string" if schema["enum"].is_array() => "one of the values below".to_owned(),
        "string" if schema["format"].as_str() == Some("date-time") => "time in UTC".to_owned(),
        "string" if is_duration => "duration".to_owned(),
        "string" => "text".to_owned(),
        "" if schema["x-kubernetes-int-or-string"] == true => "quantity".to_owned(),
        "" => "value of any kind".to_owned(),
        other => other.to_owned(),
    }
}

fn plural(kind: &str) -> String {
    match kind.split_once(' ') {
        Some((noun @ ("list" | "value"), rest)) => format!("{noun}s {rest}"),
        _ if kind == "quantity" => "quantities".to_owned(),
        _ => format!("{kind}s"),
    }
}

/// What is allowed, in words.
fn bounds(schema: &Value) -> Vec<String> {
    let range = |least: &str, most: &str, unit: &str| {
        let shown = |bound: &str| schema.get(bound).filter(|bound| bound.is_number()).map(yaml);
        match (shown(least), shown(most)) {
            (Some(least), Some(most)) => Some(format!("{least} to {most}{unit}")),
            (Some(least), None) => Some(format!("at least {least}{unit}")),
            (None, Some(most)) => Some(format!("at most {most}{unit}")),
            (None, None) => None,
        }
    };
    let pattern = schema["pattern"].as_str().filter(|pattern| *pattern != text_form::DURATION.pattern);
    // The length of a duration follows from its form.
    let length = if kind(schema) == "duration" { None } else { range("minLength", "maxLength", " characters") };
    let items = bounds_of_items(&schema["items"]);
    [range("minimum", "maximum", ""), length, pattern.map(text), range("minItems", "maxItems", " items"), items]
        .into_iter()
        .flatten()
        .collect()
}

/// The bounds of the items of a list of simple values.
fn bounds_of_items(items: &Value) -> Option<String> {
    let told = if items.is_object() { bounds(items) } else { Vec::new() };
    (!told.is_empty()).then(|| format!("each item {}", told.join(", ")))
}

/// The form of a text in words.
fn text(pattern: &str) -> String {
    let form = text_form::ALL.iter().find(|form| form.pattern == pattern);
    let allowed = form.and_then(|form| form.mismatch.split_once("; ")).map(|(_, allowed)| allowed);
    allowed.map_or_else(|| format!("matches `{pattern}`"), |allowed| allowed.trim_start_matches("use ").to_owned())
}

/// A value as it is written in a file.
pub(super) fn yaml(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain_text(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(yaml).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{name}: {}", yaml(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        Value::Number(number) => {
            let text = number.to_string();
            text.strip_suffix(".0").unwrap_or(&text).to_owned()
        }
        Value::Null | Value::Bool(_) | Value::String(_) => value.to_string(),
    }
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_is_described_in_words() {
        for (schema, is_required, told) in [
            (
                json!({"type": "integer", "minimum": 1.0, "maximum": 8.0, "default": 1}),
                false,
                "Whole number; 1 to 8; default `1`",
            ),
            (json!({"type": "integer", "minimum": 0.0}), false, "Whole number; at least 0"),
            (
                json!({"type": "string", "pattern": text_form::DURATION.pattern, "maxLength": 11, "default": "0s"}),
                false,
                "Duration; default `0s`",
            ),
            (
                json!({"type": "string", "pattern": text_form::CURRENCY.pattern}),
                true,
                "Text; three capital letters, such as EUR; required",
            ),
            (
                json!({"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1, "maxItems": 100}),
                false,
                "List of whole numbers; 1 to 100 items; each item at least 1",
            ),
            (
                json!({"type": "object", "additionalProperties": {"type": "integer"}}),
                false,
                "Map of names to whole numbers",
            ),
            (json!({"type": "string", "default": "1.00"}), false, "Text; default `\"1.00\"`"),
        ] {
            assert_eq!(facts(&schema, is_required).join("; "), told);
        }
    }
}
