//! The body of a refused request: `application/problem+json` (RFC 9457) that names the field.

use crate::contract::{PROBLEM_JSON, Problem};
use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use paylab_core::field_error::FieldError;

/// A refusal, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// The field or header it is about.
    pub field: Option<String>,
    /// What is wrong and what is allowed.
    pub detail: String,
}

impl Refusal {
    /// A refusal of the request as a whole.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, field: None, detail: detail.into() }
    }

    /// A 400 that names a field.
    pub fn of_field(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, field: Some(field.into()), detail: detail.into() }
    }

    /// A 400 for a list of wrong fields that is not empty. The detail has all of them, and `field` names the first.
    #[must_use]
    pub fn of_fields(wrong: &[FieldError]) -> Self {
        let detail = wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        Self { status: StatusCode::BAD_REQUEST, field: wrong.first().map(|refusal| refusal.field.clone()), detail }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self { status, field, detail } = self;
        let title = status.canonical_reason().unwrap_or("Refused").to_owned();
        let problem = Problem { title, status: status.as_u16(), detail, field };
        let body = serde_json::to_string(&problem).unwrap_or_default();
        (status, [(header::CONTENT_TYPE, PROBLEM_JSON)], body).into_response()
    }
}
