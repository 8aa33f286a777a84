//! JSONPaths (RFC 9535) into what a service answers.

use serde_json::Value;
use serde_json_path::JsonPath;

/// A JSONPath, with its text for messages.
#[derive(Debug, Clone)]
pub struct Path {
    text: String,
    path: JsonPath,
}

/// Values that may stand at a path; one of them must.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    path: Path,
    values: Vec<Value>,
}

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// It is no JSONPath.
    pub fn parse(text: &str) -> Result<Self, String> {
        let path = JsonPath::parse(text).map_err(|error| {
            format!(
                "\"{text}\" is not a JSONPath: {} at character {}; use one such as $.data[*]",
                error.message(),
                error.position() + 1
            )
        })?;
        Ok(Self { text: text.to_owned(), path })
    }

    /// Every value at the path.
    pub fn all<'a>(&self, value: &'a Value) -> impl Iterator<Item = &'a Value> {
        self.path.query(value).all().into_iter()
    }

    /// The first value at the path that is not null.
    #[must_use]
    pub fn first<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        self.all(value).find(|value| !value.is_null())
    }

    /// The text, number or truth value at the path, as a text.
    #[must_use]
    pub fn text(&self, value: &Value) -> Option<String> {
        match self.first(value)? {
            Value::String(text) => Some(text.clone()),
            value @ (Value::Number(_) | Value::Bool(_)) => Some(value.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Condition {
    /// A condition on what stands at a path.
    ///
    /// # Errors
    /// It is no JSONPath.
    pub(crate) fn new(path: &str, values: &[Value]) -> Result<Self, String> {
        Ok(Self { path: Path::parse(path)?, values: values.to_vec() })
    }

    /// Whether one of the values stands there.
    pub(crate) fn holds(&self, value: &Value) -> bool {
        self.path.all(value).any(|found| self.values.iter().any(|expected| is_same(found, expected)))
    }
}

/// Whether two values are the same; 1 and 1.0 are, and so are a number and its text.
fn is_same(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Number(found), Value::Number(expected)) => found == expected || found.as_f64() == expected.as_f64(),
        (found, expected) => found == expected,
    }
}
