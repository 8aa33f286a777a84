//! Reads a query, or refuses it with the name of the parameter.

use axum::{
    extract::{self, FromRequestParts, rejection::QueryRejection},
    http::request::Parts,
};
use paylab_part::refusal::Refusal;
use serde::de::DeserializeOwned;

/// An extractor of a query that is refused with the name of its parameter if it cannot be read.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        extract::Query::try_from_uri(&parts.uri).map(|query| Self(query.0)).map_err(|error| refusal(&error))
    }
}

/// Makes a refusal of a rejection, whose text ends in `PARAMETER: REASON`.
fn refusal(error: &QueryRejection) -> Refusal {
    let text = error.body_text();
    let text = text.rsplit_once("query string: ").map_or(text.as_str(), |(_, reason)| reason);
    let (parameter, reason) = text.split_once(": ").unwrap_or(("", text));
    Refusal::of_field(parameter, format!("{parameter}: {reason}"))
}
