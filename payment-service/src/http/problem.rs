//! What every refusal looks like: RFC 9457, and it names the field.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use paylab_experiment::contract::{PROBLEM_JSON, Problem};

use crate::{bookings::Refusal, request::Fault};

/// A refusal on its way out.
#[derive(Debug)]
pub(crate) struct Refused {
    status: StatusCode,
    field: Option<&'static str>,
    detail: String,
}

impl Refused {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, field: None, detail: detail.into() }
    }
}

impl From<Fault> for Refused {
    fn from(Fault { field, detail }: Fault) -> Self {
        Self { status: StatusCode::BAD_REQUEST, field, detail }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::MissingKey => Self {
                status: StatusCode::BAD_REQUEST,
                field: Some(paylab_experiment::contract::KEY_HEADER),
                detail: "an idempotency key is required".to_owned(),
            },
            Refusal::Busy => Self::new(StatusCode::SERVICE_UNAVAILABLE, "too many payments wait; nothing was booked"),
            Refusal::Failed => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the ledger failed"),
        }
    }
}

impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Self {
        Refusal::failed(&error).into()
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self { status, field, detail } = self;
        let title = status.canonical_reason().unwrap_or("Refused").to_owned();
        let problem = Problem { title, status: status.as_u16(), detail, field: field.map(str::to_owned) };
        let body = serde_json::to_string(&problem).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        match status {
            StatusCode::SERVICE_UNAVAILABLE => {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("DELETE, POST"));
            }
            _ => {}
        }
        response
    }
}
