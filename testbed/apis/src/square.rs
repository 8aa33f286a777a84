//! Shaped like Square's API: the key is in the JSON body, a repeat gets the same answer, and pages follow `cursor`.
//! Broken: a repeat is refused for good, although the payment was booked.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Query, State},
    http::StatusCode,
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
    idempotency_key: String,
    amount_money: Money,
    reference_id: String,
}

#[derive(Deserialize)]
struct Money {
    amount: u64,
    currency: String,
}

#[derive(Deserialize)]
struct PageQuery {
    limit: Option<usize>,
    cursor: Option<u64>,
}

/// The routes of a new service: `POST` and `GET /v2/payments`.
pub fn router(conduct: Conduct) -> Router {
    let service = Service { books: Books::new(Overlap::Waits, Posting::Each), conduct };
    Router::new().route("/v2/payments", post(pay).get(list)).with_state(service)
}

async fn pay(State(service): State<Service>, body: String) -> Answer {
    let Ok(Request { idempotency_key, amount_money, reference_id }) = serde_json::from_str(&body) else {
        return refused(StatusCode::BAD_REQUEST, "BAD_REQUEST");
    };
    let Money { amount: amount_minor @ 1.., currency } = amount_money else {
        return refused(StatusCode::BAD_REQUEST, "VALUE_TOO_LOW");
    };
    let payment = Payment { reference: reference_id, amount_minor, currency };
    match (service.books.pay(idempotency_key, body, payment).await, service.conduct) {
        (Fate::Accepted(entry), _) | (Fate::Repeat(entry), Conduct::Correct) => {
            (StatusCode::OK, Json(json!({"payment": payment_of(&entry)})))
        }
        (Fate::Repeat(_), Conduct::Broken) => refused(StatusCode::UNPROCESSABLE_ENTITY, "UNPROCESSABLE_ENTITY"),
        (Fate::InFlight, _) => refused(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED"),
        (Fate::OtherBody(_), _) => refused(StatusCode::BAD_REQUEST, "IDEMPOTENCY_KEY_REUSED"),
    }
}

/// The cursor is absent on the last page.
async fn list(State(service): State<Service>, Query(query): Query<PageQuery>) -> Answer {
    let page = service.books.page(query.cursor, query.limit.unwrap_or(100).clamp(1, 100));
    let mut body = json!({"payments": page.entries.iter().map(payment_of).collect::<Vec<_>>()});
    if let Some(number) = page.older_than {
        body["cursor"] = json!(number.to_string());
    }
    (StatusCode::OK, Json(body))
}

fn payment_of(entry: &Entry) -> Value {
    json!({
        "id": format!("sq{}", entry.number), "status": "COMPLETED", "reference_id": entry.payment.reference,
        "amount_money": {"amount": entry.payment.amount_minor, "currency": entry.payment.currency},
    })
}

fn refused(status: StatusCode, code: &str) -> Answer {
    (status, Json(json!({"errors": [{"category": "INVALID_REQUEST_ERROR", "code": code}]})))
}
