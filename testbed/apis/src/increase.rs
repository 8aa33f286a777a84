//! Shaped like Increase's API: a header marks a repeat, another body is a conflict that names the resource, and a transfer is looked
//! up by its key. Broken: each tenth transfer is acknowledged and never booked.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Conduct,
    books::{Books, Entry, Fate, Overlap, Page, Payment, Posting},
};

#[derive(Deserialize)]
struct Request {
    amount: u64,
    currency: String,
    description: String,
}

#[derive(Deserialize)]
struct PageQuery {
    limit: Option<usize>,
    cursor: Option<u64>,
    idempotency_key: Option<String>,
}

/// The routes of a new service: `POST` and `GET /account_transfers`.
pub fn router(conduct: Conduct) -> Router {
    let posting = match conduct {
        Conduct::Correct => Posting::Each,
        Conduct::Broken => Posting::AllButEachTenth,
    };
    let books = Books::new(Overlap::Waits, posting);
    Router::new().route("/account_transfers", post(pay).get(list)).with_state(books)
}

async fn pay(State(books): State<Arc<Books>>, headers: HeaderMap, body: String) -> Response {
    let Ok(Request { amount: amount_minor @ 1.., currency, description }) = serde_json::from_str(&body) else {
        return refused(StatusCode::BAD_REQUEST, "invalid_parameters_error", None);
    };
    let Some(key) = headers.get("idempotency-key").and_then(|key| key.to_str().ok()) else {
        return refused(StatusCode::BAD_REQUEST, "idempotency_key_missing_error", None);
    };
    let payment = Payment { reference: description, amount_minor, currency };
    match books.pay(key.to_owned(), body, payment).await {
        Fate::Accepted(entry) => Json(transfer(&entry)).into_response(),
        Fate::Repeat(entry) => ([("idempotent-replayed", "true")], Json(transfer(&entry))).into_response(),
        Fate::OtherBody(entry) => refused(StatusCode::CONFLICT, "idempotency_key_already_used_error", Some(&entry)),
        Fate::InFlight => refused(StatusCode::SERVICE_UNAVAILABLE, "internal_server_error", None),
    }
}

async fn list(State(books): State<Arc<Books>>, Query(query): Query<PageQuery>) -> Json<Value> {
    let page = match query.idempotency_key {
        Some(key) => Page { entries: books.with_key(&key), older_than: None },
        None => books.page(query.cursor, query.limit.unwrap_or(100).clamp(1, 100)),
    };
    let data: Vec<_> = page.entries.iter().map(transfer).collect();
    Json(json!({"data": data, "next_cursor": page.older_than.map(|number| number.to_string())}))
}

fn id(entry: &Entry) -> String {
    format!("account_transfer_{}", entry.number)
}

fn transfer(entry: &Entry) -> Value {
    json!({
        "id": id(entry), "status": "complete", "amount": entry.payment.amount_minor, "currency": entry.payment.currency,
        "description": entry.payment.reference, "idempotency_key": entry.key,
    })
}

fn refused(status: StatusCode, kind: &str, resource: Option<&Entry>) -> Response {
    let body = json!({"type": kind, "status": status.as_u16(), "resource_id": resource.map(id)});
    (status, Json(body)).into_response()
}
