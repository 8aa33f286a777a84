//! Shaped like Stripe's API v1: form bodies, the key in a header, and a repeat gets the stored status and body. Pages follow
//! `starting_after`. Broken: a key belongs to the address of its sender, so that a repeat on another connection books again.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::{ConnectInfo, Query, State},
    http::{HeaderMap, StatusCode},
    routing::post,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Conduct,
    books::{Books, Entry, Fate, Overlap, Payment, Posting},
};

type Answer = (StatusCode, Json<Value>);

#[derive(Clone)]
struct Service {
    books: Arc<Books>,
    conduct: Conduct,
}

#[derive(Deserialize)]
struct PageQuery {
    limit: Option<usize>,
    starting_after: Option<String>,
}

/// The routes of a new service: `POST` and `GET /v1/charges`.
pub fn router(conduct: Conduct) -> Router {
    let service = Service { books: Books::new(Overlap::Refused, Posting::Each), conduct };
    Router::new().route("/v1/charges", post(pay).get(list)).with_state(service)
}

async fn pay(
    State(service): State<Service>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: String,
) -> Answer {
    let Some(payment) = read(&body) else {
        return refused(StatusCode::BAD_REQUEST, "parameter_invalid", "send amount, currency and metadata[reference]");
    };
    let Some(key) = headers.get("idempotency-key").and_then(|key| key.to_str().ok()) else {
        return refused(StatusCode::BAD_REQUEST, "idempotency_key_missing", "send an Idempotency-Key");
    };
    let key = match service.conduct {
        Conduct::Correct => key.to_owned(),
        Conduct::Broken => format!("{peer} {key}"),
    };
    match service.books.pay(key, body, payment).await {
        Fate::Accepted(entry) | Fate::Repeat(entry) => (StatusCode::OK, Json(charge(&entry))),
        Fate::InFlight => refused(StatusCode::CONFLICT, "idempotency_key_in_use", "the key is in use"),
        Fate::OtherBody(_) => {
            refused(StatusCode::BAD_REQUEST, "idempotency_error", "the key was used with other parameters")
        }
    }
}

fn read(body: &str) -> Option<Payment> {
    let mut fields: HashMap<_, _> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let amount_minor = fields.get("amount")?.parse().ok().filter(|minor| *minor > 0)?;
    Some(Payment {
        reference: fields.remove("metadata[reference]")?,
        amount_minor,
        currency: fields.remove("currency")?,
    })
}

async fn list(State(service): State<Service>, Query(query): Query<PageQuery>) -> Answer {
    let before = match query.starting_after.as_deref().map(number) {
        Some(None) => return refused(StatusCode::BAD_REQUEST, "resource_missing", "no such charge"),
        before => before.flatten(),
    };
    let page = service.books.page(before, query.limit.unwrap_or(10).clamp(1, 100));
    let data: Vec<_> = page.entries.iter().map(charge).collect();
    (StatusCode::OK, Json(json!({"object": "list", "data": data, "has_more": page.older_than.is_some()})))
}

fn number(id: &str) -> Option<u64> {
    id.strip_prefix("ch_")?.parse().ok()
}

fn charge(entry: &Entry) -> Value {
    json!({
        "id": format!("ch_{}", entry.number), "object": "charge", "status": "succeeded",
        "amount": entry.payment.amount_minor, "currency": entry.payment.currency.to_lowercase(),
        "metadata": {"reference": entry.payment.reference},
    })
}

fn refused(status: StatusCode, code: &str, message: &str) -> Answer {
    (status, Json(json!({"error": {"type": "invalid_request_error", "code": code, "message": message}})))
}
