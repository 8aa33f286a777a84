//! Reads bodies as Toxiproxy does: the first JSON value counts, names match in any letter case, unknown fields are ignored,
//! and null means absent. Each error names its field.

use axum::http::StatusCode;
use serde_json::{Map, Value};
use thiserror::Error;

/// What is wrong with the body of a request.
#[derive(Debug, Clone, PartialEq, Error)]
pub(crate) enum BodyError {
    #[error("bad request body: {0}")]
    Unreadable(String),
    #[error("missing required field: {0}")]
    Missing(String),
    #[error("stream was invalid, can be either upstream or downstream")]
    Stream,
    #[error("invalid toxic type")]
    ToxicType,
    #[error("bad request body: toxicity must be from 0 to 1, not {0}")]
    Toxicity(f64),
    #[error("toxic already exists")]
    ToxicExists,
}

/// The fields of an object.
#[derive(Debug, Default)]
pub(crate) struct Fields(Map<String, Value>);

impl BodyError {
    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Self::Unreadable(_) | Self::Missing(_) | Self::Stream | Self::ToxicType | Self::Toxicity(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::ToxicExists => StatusCode::CONFLICT,
        }
    }
}

/// Reads an object from the front of a body.
pub(crate) fn object(body: &[u8]) -> Result<Fields, BodyError> {
    match first(body)? {
        Value::Null => Ok(Fields::default()),
        value => fields(value, "the body"),
    }
}

/// Reads a list of objects from the front of a body.
pub(crate) fn objects(body: &[u8]) -> Result<Vec<Fields>, BodyError> {
    match first(body)? {
        Value::Null => Ok(Vec::new()),
        Value::Array(values) => elements(values, "the body"),
        _ => Err(wrong("the body", "a list of proxies")),
    }
}

fn first(body: &[u8]) -> Result<Value, BodyError> {
    match serde_json::Deserializer::from_slice(body).into_iter().next() {
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) if error.is_eof() => Err(BodyError::Unreadable("unexpected EOF".to_owned())),
        Some(Err(error)) => Err(BodyError::Unreadable(error.to_string())),
        None => Err(BodyError::Unreadable("EOF".to_owned())),
    }
}

fn elements(values: Vec<Value>, name: &str) -> Result<Vec<Fields>, BodyError> {
    values.into_iter().enumerate().map(|(index, value)| fields(value, &format!("{name}[{index}]"))).collect()
}

fn fields(value: Value, name: &str) -> Result<Fields, BodyError> {
    match value {
        Value::Object(map) => Ok(Fields(map)),
        _ => Err(wrong(name, "an object")),
    }
}

fn wrong(name: &str, wanted: &str) -> BodyError {
    BodyError::Unreadable(format!("{name} must be {wanted}"))
}

impl Fields {
    fn find(&self, name: &str) -> Option<&Value> {
        let value = self
            .0
            .get(name)
            .or_else(|| self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value));
        value.filter(|value| !value.is_null())
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, BodyError> {
        self.find(name)
            .map(|value| value.as_str().map(str::to_owned).ok_or_else(|| wrong(name, "a string")))
            .transpose()
    }

    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, BodyError> {
        self.find(name).map(|value| value.as_bool().ok_or_else(|| wrong(name, "true or false"))).transpose()
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<f64>, BodyError> {
        self.find(name).map(|value| value.as_f64().ok_or_else(|| wrong(name, "a number"))).transpose()
    }

    pub(crate) fn object(&self, name: &str) -> Result<Option<Self>, BodyError> {
        self.find(name).map(|value| fields(value.clone(), name)).transpose()
    }

    pub(crate) fn objects(&self, name: &str) -> Result<Vec<Self>, BodyError> {
        match self.find(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => elements(values.clone(), name),
            Some(_) => Err(wrong(name, "a list of objects")),
        }
    }

    /// Sets an attribute if the field is present.
    pub(crate) fn integer_into(&self, name: &str, attribute: &mut i64) -> Result<(), BodyError> {
        if let Some(value) = self.find(name) {
            *attribute = value.as_i64().ok_or_else(|| wrong(&format!("attributes.{name}"), "an integer"))?;
        }
        Ok(())
    }

    /// Sets an attribute if the field is present.
    pub(crate) fn fraction_into(&self, name: &str, attribute: &mut f64) -> Result<(), BodyError> {
        if let Some(value) = self.find(name) {
            let fraction = value.as_f64().filter(|fraction| (0.0..=1.0).contains(fraction));
            *attribute = fraction.ok_or_else(|| wrong(&format!("attributes.{name}"), "a number from 0 to 1"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_as_toxiproxy_reads_it() {
        let fields = object(br#"{"NAME":"a","Enabled":null,"more":[1],"toxicity":1} trailing"#).unwrap();
        assert_eq!(fields.text("name"), Ok(Some("a".to_owned())));
        assert_eq!(fields.flag("enabled"), Ok(None));
        assert_eq!(fields.number("toxicity"), Ok(Some(1.0)));
        assert!(object(b"null").unwrap().0.is_empty());
        let smallest = object(br#"{"toxicity":1e-97}"#).unwrap();
        assert_eq!(smallest.number("toxicity"), Ok(Some(1e-97)), "to the last bit");
    }

    #[test]
    fn an_error_names_its_field() {
        let error_text = |body: &[u8]| object(body).map(|_| ()).unwrap_err().to_string();
        assert_eq!(error_text(b""), "bad request body: EOF");
        assert_eq!(error_text(b"{"), "bad request body: unexpected EOF");
        assert_eq!(error_text(b"[]"), "bad request body: the body must be an object");
        assert!(error_text(b"{x").starts_with("bad request body: key must be a string"), "{}", error_text(b"{x"));
        assert!(
            error_text(&[b'['; 100_000]).starts_with("bad request body: recursion limit"),
            "deep nesting does not overflow the stack"
        );
        let error = object(br#"{"name":5}"#).unwrap().text("name").unwrap_err();
        assert_eq!(error.to_string(), "bad request body: name must be a string");
        let mut rate = 7;
        let error = object(br#"{"rate":1.5}"#).unwrap().integer_into("rate", &mut rate).unwrap_err();
        assert_eq!((error.to_string().as_str(), rate), ("bad request body: attributes.rate must be an integer", 7));
    }
}
