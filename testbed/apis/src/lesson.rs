//! Shaped like the lesson's service: a repeat is answered with 208 and no body, and nothing but a total can be read.
//! Broken: each repeat is booked once more.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{
    Conduct,
    amount::{from_decimal, to_decimal},
    books::{Books, Fate, Overlap, Payment, Posting},
};

#[derive(Clone)]
struct Service {
    books: Arc<Books>,
    conduct: Conduct,
}

/// The amount is a number or a text.
#[derive(Deserialize)]
struct Request {
    src: String,
    dest: String,
    amount: Value,
}

/// The routes of a new service: `POST` and `DELETE /payments/`, also without the slash, and `GET /stats`.
pub fn router(conduct: Conduct) -> Router {
    let service = Service { books: Books::new(Overlap::Waits, Posting::Each), conduct };
    Router::new()
        .route("/payments/", post(pay).delete(clear))
        .route("/payments", post(pay).delete(clear))
        .route("/stats", get(stats))
        .with_state(service)
}

/// The content type does not matter: text is read as JSON.
async fn pay(State(service): State<Service>, headers: HeaderMap, body: String) -> StatusCode {
    let Some(key) = headers.get("payment-idempotence-key").and_then(|key| key.to_str().ok()) else {
        return StatusCode::BAD_REQUEST;
    };
    let Some(payment) = read(&body) else {
        return StatusCode::BAD_REQUEST;
    };
    let books = Arc::clone(&service.books);
    match (service.books.pay(key.to_owned(), body, payment).await, service.conduct) {
        (Fate::Accepted(_), _) => StatusCode::OK,
        (Fate::Repeat(_) | Fate::OtherBody(_), Conduct::Correct) => StatusCode::ALREADY_REPORTED,
        (Fate::Repeat(entry) | Fate::OtherBody(entry), Conduct::Broken) => {
            books.post_again(entry);
            StatusCode::ALREADY_REPORTED
        }
        (Fate::InFlight, _) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn read(body: &str) -> Option<Payment> {
    let Request { src, dest, amount } = serde_json::from_str(body).ok()?;
    let amount_minor = match amount {
        Value::String(text) => from_decimal(&text),
        Value::Number(number) => from_decimal(&number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }?;
    Some(Payment { reference: format!("{src} {dest}"), amount_minor, currency: String::new() })
}

async fn clear(State(service): State<Service>) {
    service.books.clear();
}

/// The total in major units, as a JSON number with a decimal point.
async fn stats(State(service): State<Service>) -> Json<Box<RawValue>> {
    let total = to_decimal(service.books.total_minor());
    Json(RawValue::from_string(total).expect("a decimal text is a JSON number"))
}
