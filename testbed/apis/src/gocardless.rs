//! Shaped like GoCardless' API: a repeat is a conflict with a reason and a pointer to the resource, and pages follow
//! `meta.cursors.after`. Broken: a repeat is told for ever that the first request is in flight.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Query, State},
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
struct Request {
    payments: Order,
}

#[derive(Deserialize)]
struct Order {
    amount: u64,
    currency: String,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    reference: String,
}

#[derive(Deserialize)]
struct PageQuery {
    limit: Option<usize>,
    after: Option<String>,
}

/// The routes of a new service: `POST` and `GET /payments`.
pub fn router(conduct: Conduct) -> Router {
    let service = Service { books: Books::new(Overlap::Refused, Posting::Each), conduct };
    Router::new().route("/payments", post(pay).get(list)).with_state(service)
}

async fn pay(State(service): State<Service>, headers: HeaderMap, body: String) -> Answer {
    let Some(key) = headers.get("idempotency-key").and_then(|key| key.to_str().ok()) else {
        return refused(StatusCode::BAD_REQUEST, "missing_idempotency_key", Value::Null);
    };
    let Ok(Request { payments: Order { amount: amount_minor @ 1.., currency, metadata } }) =
        serde_json::from_str(&body)
    else {
        return refused(StatusCode::UNPROCESSABLE_ENTITY, "validation_failed", Value::Null);
    };
    let payment = Payment { reference: metadata.reference, amount_minor, currency };
    match (service.books.pay(key.to_owned(), body, payment).await, service.conduct) {
        (Fate::Accepted(entry), _) => (StatusCode::CREATED, Json(json!({"payments": payment_of(&entry)}))),
        (Fate::Repeat(entry) | Fate::OtherBody(entry), Conduct::Correct) => {
            let pointer = json!({"conflicting_resource_id": id(entry.number)});
            refused(StatusCode::CONFLICT, "idempotent_creation_conflict", pointer)
        }
        (Fate::InFlight, _) | (Fate::Repeat(_) | Fate::OtherBody(_), Conduct::Broken) => {
            refused(StatusCode::CONFLICT, "idempotent_creation_in_progress", Value::Null)
        }
    }
}

async fn list(State(service): State<Service>, Query(query): Query<PageQuery>) -> Answer {
    let before = match query.after.as_deref().map(number) {
        Some(None) => return refused(StatusCode::BAD_REQUEST, "invalid_cursor", Value::Null),
        before => before.flatten(),
    };
    let limit = query.limit.unwrap_or(50).clamp(1, 500);
    let page = service.books.page(before, limit);
    let payments: Vec<_> = page.entries.iter().map(payment_of).collect();
    let cursors = json!({"before": null, "after": page.older_than.map(id)});
    (StatusCode::OK, Json(json!({"payments": payments, "meta": {"cursors": cursors, "limit": limit}})))
}

fn id(number: u64) -> String {
    format!("PM{number}")
}

fn number(id: &str) -> Option<u64> {
    id.strip_prefix("PM")?.parse().ok()
}

fn payment_of(entry: &Entry) -> Value {
    json!({
        "id": id(entry.number), "status": "confirmed", "amount": entry.payment.amount_minor,
        "currency": entry.payment.currency, "metadata": {"reference": entry.payment.reference},
    })
}

fn refused(status: StatusCode, reason: &str, links: Value) -> Answer {
    let errors = json!([{"reason": reason, "links": links}]);
    (status, Json(json!({"error": {"type": "invalid_state", "code": status.as_u16(), "errors": errors}})))
}
