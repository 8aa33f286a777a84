//! Refusals of the control port, and how its bodies and queries are read: what is wrong is named with its field.

use axum::{
    Json,
    extract::{FromRequestParts, Query, rejection::QueryRejection},
    http::{StatusCode, header::CONTENT_TYPE, request::Parts},
    response::{IntoResponse, Response},
};
use paylab_experiment::{
    contract::{PROBLEM_JSON, Problem},
    plan::Refusal,
};
use serde::de::DeserializeOwned;

/// A refusal, answered as `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused(Problem);

/// A query whose faults are answered by name.
#[derive(Debug)]
pub(crate) struct Asked<T>(pub(crate) T);

impl Refused {
    /// Nothing is wrong with the words, but with the moment or the state.
    pub(crate) fn new(status: StatusCode, title: &str, detail: impl Into<String>) -> Self {
        Self(Problem { title: title.into(), status: status.as_u16(), detail: detail.into(), field: None })
    }

    /// Fields are wrong. All are in the detail, the first is in `field`; there is at least one.
    pub(crate) fn fields(refusals: &[Refusal]) -> Self {
        let detail = refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let field = refusals.first().map(|refusal| refusal.field.clone());
        let status = StatusCode::BAD_REQUEST.as_u16();
        Self(Problem { title: "bad request".into(), status, detail, field })
    }

    fn field(field: &str, fault: &str) -> Self {
        Self::fields(&[Refusal::new(field, fault)])
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(CONTENT_TYPE, PROBLEM_JSON)], Json(self.0)).into_response()
    }
}

/// Reads a body of JSON.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let parsed = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let (path, fault) = (error.path().to_string(), error.inner().to_string());
        match path.as_str() {
            "." => Refused::field(named_in(&fault), &fault),
            path => Refused::field(path, &fault),
        }
    })?;
    json.end().map_err(|error| Refused::field("", &error.to_string()))?;
    Ok(parsed)
}

/// The field between backticks of a message such as "missing field `seed`"; empty where none is named.
fn named_in(fault: &str) -> &str {
    fault.split('`').nth(1).unwrap_or_default()
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        Query::try_from_uri(&parts.uri).map(|Query(query)| Self(query)).map_err(|error| query_refusal(&error))
    }
}

/// The rejection's text ends in "FIELD: FAULT".
fn query_refusal(error: &QueryRejection) -> Refused {
    let text = error.body_text();
    let text = text.rsplit_once("query string: ").map_or(text.as_str(), |(_, fault)| fault);
    let (field, fault) = text.split_once(": ").unwrap_or(("", text));
    Refused::field(field, fault)
}

#[cfg(test)]
mod tests {
    use paylab_experiment::contract::{PaymentWindow, Rules};

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
            let Refused(problem) = parse::<Rules>(body.as_bytes()).unwrap_err();
            assert_eq!((problem.status, problem.field.as_deref()), (400, Some(field)), "{body}: {}", problem.detail);
        }
    }

    #[test]
    fn a_query_that_cannot_be_read_is_refused_with_its_field() {
        let uri = "/?to=5&from=x".parse().unwrap();
        let Refused(problem) = query_refusal(&Query::<PaymentWindow>::try_from_uri(&uri).unwrap_err());
        assert_eq!((problem.status, problem.field.as_deref()), (400, Some("from")), "{}", problem.detail);
    }
}
