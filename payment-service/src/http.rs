//! The routes: extract, call, respond.

mod export;
mod query;
mod request;

use std::{error::Error as _, sync::Arc};

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http_body_util::LengthLimitError;
use paylab_core::{money::MinorUnits, payment::AttemptId, witness::ledger::ServiceCounters};
use paylab_part::contract::{
    ATTEMPT_HEADER, BODY_LEN_MAX, COUNTERS_PATH, DRAIN_PATH, DrainQuery, HEALTH_PATH, KEY_HEADER, LEDGER_PATH,
    LedgerQuery, NDJSON, PAYMENTS_PATH, READY_PATH, REPLAYED_HEADER, STATS_PATH,
};

use paylab_part::refusal::Refusal;

use self::{
    export::Window,
    query::Query,
    request::{RequestFault, read_payment},
};
use crate::{
    booking::{BookingRefusal, Bookings},
    dedup::Treatment,
    ledger::LedgerError,
    payment::Payment,
};

type Service = State<Arc<Bookings>>;
type Responded<T> = Result<T, Refusal>;

/// Every route of the service.
pub(crate) fn router(bookings: Arc<Bookings>) -> Router {
    let payments = || post(pay).delete(clear).fallback(other_method);
    Router::new()
        .route(PAYMENTS_PATH, payments())
        .route(PAYMENTS_PATH.trim_end_matches('/'), payments())
        .route(STATS_PATH, get(stats))
        .route(LEDGER_PATH, get(ledger))
        .route(DRAIN_PATH, get(drain))
        .route(COUNTERS_PATH, get(counters))
        .route(HEALTH_PATH, get(async || StatusCode::OK))
        .route(READY_PATH, get(ready))
        .fallback(async || Refusal::new(StatusCode::NOT_FOUND, "there is no such path"))
        .with_state(bookings)
}

async fn pay(State(bookings): Service, headers: HeaderMap, body: Body) -> Responded<Response> {
    let body = to_bytes(body, BODY_LEN_MAX).await.map_err(|error| unread(&error))?;
    let request = bookings.begin();
    match read(&headers, &body) {
        Ok(payment) => Ok(match bookings.book(payment, request).await {
            Ok(treatment) if bookings.fails_after(treatment, attempt(&headers)) => failed_after().into_response(),
            Ok(treatment) => respond(treatment),
            Err(refusal) => refuse(refusal),
        }),
        Err(refusal) => {
            request.refuse();
            Err(refusal)
        }
    }
}

fn read(headers: &HeaderMap, body: &[u8]) -> Responded<Payment> {
    if !is_json(headers) {
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json"));
    }
    read_payment(headers, body).map_err(|RequestFault { field, detail }| Refusal {
        status: StatusCode::BAD_REQUEST,
        field: field.map(str::to_owned),
        detail,
    })
}

/// Which attempt a request is, if it says so.
fn attempt(headers: &HeaderMap) -> Option<AttemptId> {
    headers.get(ATTEMPT_HEADER)?.to_str().ok()?.parse().ok()
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = media_type.and_then(|value| value.split(';').next()).map(str::trim);
    essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"))
}

/// The body is too long, or it was cut off, and then the caller is gone.
fn unread(error: &axum::Error) -> Refusal {
    if error.source().is_some_and(|source| source.is::<LengthLimitError>()) {
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body has more than {BODY_LEN_MAX} bytes"))
    } else {
        Refusal::new(StatusCode::BAD_REQUEST, "the body ended early")
    }
}

fn respond(treatment: Treatment) -> Response {
    match treatment {
        Treatment::Booked => StatusCode::OK.into_response(),
        Treatment::Accepted => StatusCode::ACCEPTED.into_response(),
        Treatment::Repeat => StatusCode::ALREADY_REPORTED.into_response(),
        Treatment::Replayed(status) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
            (status, [(REPLAYED_HEADER, "true")]).into_response()
        }
        Treatment::KeyReused => {
            Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "this key belongs to another payment").into_response()
        }
        Treatment::InFlight => {
            Refusal::new(StatusCode::CONFLICT, "the first request with this key has not ended").into_response()
        }
    }
}

fn refuse(refusal: BookingRefusal) -> Response {
    match refusal {
        BookingRefusal::MissingKey => Refusal::of_field(KEY_HEADER, "an idempotency key is required").into_response(),
        BookingRefusal::Busy => {
            let busy = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many payments wait; nothing was booked");
            ([(header::RETRY_AFTER, "1")], busy).into_response()
        }
        BookingRefusal::Failed | BookingRefusal::Dropped => broken().into_response(),
    }
}

/// The ledger has failed. The cause is only in the log.
fn failed(bookings: &Bookings, error: &LedgerError) -> Refusal {
    bookings.log.ledger_failed.write(bookings.ledger.explain(error));
    broken()
}

fn broken() -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the ledger failed")
}

/// What `failAfter` orders: the payment is booked, and the answer says nothing of it.
fn failed_after() -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "something has failed after the booking")
}

async fn clear(State(bookings): Service) -> Responded<StatusCode> {
    bookings.clear().await.map_err(|error| failed(&bookings, &error))?;
    Ok(StatusCode::OK)
}

async fn other_method() -> Response {
    let refused = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "use POST to pay or DELETE to empty the ledger");
    ([(header::ALLOW, "DELETE, POST")], refused).into_response()
}

async fn stats(State(bookings): Service) -> Responded<Response> {
    let total = async {
        let mut snapshot = bookings.ledger.snapshot().await?;
        let total = snapshot.total_minor().await?;
        snapshot.end().await;
        Ok(total)
    };
    let total = total.await.map_err(|error| failed(&bookings, &error))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], MinorUnits(total).to_stats()).into_response())
}

async fn ledger(State(bookings): Service, Query(query): Query<LedgerQuery>) -> Responded<Response> {
    let window = Window::of(query)?;
    Ok(([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(export::stream(bookings, window))).into_response())
}

async fn drain(State(bookings): Service, Query(query): Query<DrainQuery>) -> Responded<StatusCode> {
    bookings.drain.answer(query).await
}

async fn counters(State(bookings): Service) -> Json<ServiceCounters> {
    Json(bookings.counters())
}

async fn ready(State(bookings): Service) -> Responded<StatusCode> {
    let read = async {
        let mut snapshot = bookings.ledger.snapshot().await?;
        snapshot.entries_after(i64::MAX - 1, 1).await?;
        snapshot.end().await;
        Ok(())
    };
    read.await.map_err(|error| failed(&bookings, &error))?;
    Ok(StatusCode::OK)
}
