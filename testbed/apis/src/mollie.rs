//! Shaped like Mollie's API: amounts are decimal texts, a repeat gets the same answer whatever its body, and each page links to the
//! next. Broken: each repeat is answered with a new identity, although nothing more is booked.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    routing::post,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Conduct,
    amount::{from_decimal, to_decimal},
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
    amount: Amount,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Amount {
    value: String,
    currency: String,
}

#[derive(Deserialize)]
struct Metadata {
    reference: String,
}

#[derive(Deserialize)]
struct PageQuery {
    limit: Option<usize>,
    from: Option<u64>,
}

/// The routes of a new service: `POST` and `GET /v2/payments`.
pub fn router(conduct: Conduct) -> Router {
    let service = Service { books: Books::new(Overlap::Waits, Posting::Each), conduct };
    Router::new().route("/v2/payments", post(pay).get(list)).with_state(service)
}

async fn pay(State(service): State<Service>, headers: HeaderMap, body: String) -> Answer {
    let Some(key) = headers.get("idempotency-key").and_then(|key| key.to_str().ok()) else {
        return refused(StatusCode::BAD_REQUEST, "send an Idempotency-Key");
    };
    let Ok(Request { amount, metadata: Metadata { reference } }) = serde_json::from_str(&body) else {
        return refused(StatusCode::UNPROCESSABLE_ENTITY, "send amount and metadata.reference");
    };
    let Some(amount_minor) = from_decimal(&amount.value) else {
        return refused(StatusCode::UNPROCESSABLE_ENTITY, "the amount is invalid");
    };
    let payment = Payment { reference, amount_minor, currency: amount.currency };
    let books = Arc::clone(&service.books);
    match (service.books.pay(key.to_owned(), body, payment).await, service.conduct) {
        (Fate::Accepted(entry), _) | (Fate::Repeat(entry) | Fate::OtherBody(entry), Conduct::Correct) => {
            (StatusCode::CREATED, Json(payment_of(&entry)))
        }
        (Fate::Repeat(entry) | Fate::OtherBody(entry), Conduct::Broken) => {
            let renamed = Entry { number: books.skip_number(), ..entry };
            (StatusCode::CREATED, Json(payment_of(&renamed)))
        }
        (Fate::InFlight, _) => refused(StatusCode::SERVICE_UNAVAILABLE, "try again"),
    }
}

async fn list(State(service): State<Service>, headers: HeaderMap, Query(query): Query<PageQuery>) -> Answer {
    let limit = query.limit.unwrap_or(50).clamp(1, 250);
    let page = service.books.page(query.from, limit);
    let payments: Vec<_> = page.entries.iter().map(payment_of).collect();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let next =
        page.older_than.map(|from| json!({"href": format!("http://{host}/v2/payments?from={from}&limit={limit}")}));
    let count = payments.len();
    (StatusCode::OK, Json(json!({"count": count, "_embedded": {"payments": payments}, "_links": {"next": next}})))
}

fn payment_of(entry: &Entry) -> Value {
    json!({
        "resource": "payment", "id": format!("tr_{}", entry.number), "status": "paid",
        "amount": {"value": to_decimal(entry.payment.amount_minor), "currency": entry.payment.currency},
        "metadata": {"reference": entry.payment.reference},
    })
}

fn refused(status: StatusCode, detail: &str) -> Answer {
    (status, Json(json!({"status": status.as_u16(), "detail": detail})))
}
