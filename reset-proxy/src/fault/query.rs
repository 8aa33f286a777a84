//! How the control port reads bodies and queries. What cannot be read is refused with the name of its field.

use axum::{
    extract::{self, FromRequestParts, rejection::QueryRejection},
    http::request::Parts,
};
use paylab_part::refusal::Refusal;
use serde::de::DeserializeOwned;

/// An extractor of a query that is refused with the name of its field if it cannot be read.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

/// Reads a JSON body.
pub(crate) fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let parsed = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let (path, reason) = (error.path().to_string(), error.inner().to_string());
        match path.as_str() {
            "." => Refusal::of_field(named_in(&reason), &reason),
            path => Refusal::of_field(path, &reason),
        }
    })?;
    json.end().map_err(|error| Refusal::of_field("", error.to_string()))?;
    Ok(parsed)
}

/// The field between the backticks of a message such as "missing field `seed`", empty where the message names none.
fn named_in(reason: &str) -> &str {
    reason.split('`').nth(1).unwrap_or_default()
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        extract::Query::try_from_uri(&parts.uri).map(|query| Self(query.0)).map_err(|error| query_refusal(&error))
    }
}

/// Makes a refusal of a rejection, whose text ends in `FIELD: REASON`.
fn query_refusal(error: &QueryRejection) -> Refusal {
    let text = error.body_text();
    let text = text.rsplit_once("query string: ").map_or(text.as_str(), |(_, reason)| reason);
    let (field, reason) = text.split_once(": ").unwrap_or(("", text));
    Refusal::of_field(field, reason)
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use paylab_part::contract::{PaymentWindow, Rules};

    use super::*;

    #[test]
    fn a_body_that_cannot_be_read_is_refused_with_its_field() {
        let fault = r#"{"name":"x","probability":0.1,"reset":{"at":"Sometime"}}"#;
        for (body, field) in [
            (String::new(), ""),
            ("[]".into(), ""),
            (r#"{"run_id":"r","faults":[],"lease_ms":1}"#.into(), "seed"),
            (r#"{"run_id":"r","seed":-1,"faults":[],"lease_ms":1}"#.into(), "seed"),
            (r#"{"run_id":"r","seed":1,"faults":[],"lease_ms":1,"colour":1}"#.into(), "colour"),
            (format!(r#"{{"run_id":"r","seed":1,"faults":[{fault}],"lease_ms":1}}"#), "faults[0].reset.at"),
            (r#"{"run_id":"r","seed":1,"faults":[],"lease_ms":1} trailing"#.into(), ""),
        ] {
            let refusal = parse_json::<Rules>(body.as_bytes()).unwrap_err();
            assert_eq!(refusal.field.as_deref(), Some(field), "{body}: {}", refusal.detail);
            assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
        }
    }

    #[test]
    fn a_query_that_cannot_be_read_is_refused_with_its_field() {
        let uri = "/?to=5&from=x".parse().unwrap();
        let refusal = query_refusal(&extract::Query::<PaymentWindow>::try_from_uri(&uri).unwrap_err());
        assert_eq!(refusal.field.as_deref(), Some("from"), "{}", refusal.detail);
    }
}
