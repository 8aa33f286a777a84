//! JSONPaths (RFC 9535) into what a service answers.

use serde_json::Value;
use serde_json_path::JsonPath;

/// A JSONPath, with its text for messages.
#[derive(Debug, Clone)]
pub struct Path {
    text: String,
    path: Box<JsonPath>,
    /// The names on the way, for a path that has nothing else, such as `$.data.id`. It is then followed without the library, which takes
    /// memory for each query: a ledger has several paths for each of its entries.
    names: Option<Box<[String]>>,
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
        Ok(Self { text: text.to_owned(), path: Box::new(path), names: names(text) })
    }

    /// Every value at the path.
    pub fn all<'a>(&self, value: &'a Value) -> impl Iterator<Item = &'a Value> {
        let (one, many) = match &self.names {
            Some(names) => (names.iter().try_fold(value, |value, name| value.as_object()?.get(name)), Vec::new()),
            None => (None, self.path.query(value).all()),
        };
        one.into_iter().chain(many)
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

    /// Where it looks.
    pub(crate) const fn path(&self) -> &Path {
        &self.path
    }

    /// Whether one of the values stands there.
    pub(crate) fn holds(&self, value: &Value) -> bool {
        self.path.all(value).any(|found| self.values.iter().any(|expected| is_same(found, expected)))
    }
}

/// The names of a path that has nothing else.
fn names(text: &str) -> Option<Box<[String]>> {
    let is_name = |name: &str| {
        !name.starts_with(|first: char| first.is_ascii_digit())
            && !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let rest = text.strip_prefix('$')?;
    if rest.is_empty() {
        return Some(Box::default());
    }
    rest.strip_prefix('.')?.split('.').map(|name| is_name(name).then(|| name.to_owned())).collect()
}

/// Whether two values are the same; 1 and 1.0 are, and so are a number and its text.
fn is_same(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Number(found), Value::Number(expected)) => found == expected || found.as_f64() == expected.as_f64(),
        (found, expected) => found == expected,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_of_names_finds_what_the_library_finds() {
        let value = json!({"a": {"b": [1, {"c": null}], "d_2": "x", "": 7}, "c": {"a": 3}, "0": 1});
        for (text, is_of_names) in [
            ("$", true),
            ("$.a", true),
            ("$.a.d_2", true),
            ("$.a.b", true),
            ("$.a.b.c", true),
            ("$.a.missing", true),
            ("$.c.a", true),
            ("$.a.b[1].c", false),
            ("$.a.*", false),
            ("$..a", false),
            ("$['a']", false),
            ("$.\u{e4}", false),
        ] {
            let path = Path::parse(text).unwrap();
            assert_eq!(path.names.is_some(), is_of_names, "{text}");
            assert_eq!(path.all(&value).collect::<Vec<_>>(), path.path.query(&value).all(), "{text}");
        }
        assert!(Path::parse("$.0").is_err() && Path::parse("$.").is_err() && Path::parse("$. a").is_err());
    }
}
