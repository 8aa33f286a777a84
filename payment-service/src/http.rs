//! The routes: extract, call, answer.

use std::{error::Error as _, sync::Arc};

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http_body_util::LengthLimitError;
use paylab_experiment::{
    contract::{
        BODY_LEN_MAX, COUNTERS_PATH, DRAIN_PATH, DrainQuery, HEALTH_PATH, KEY_HEADER, LEDGER_PATH, NDJSON,
        PAYMENTS_PATH, READY_PATH, REPLAYED_HEADER, STATS_PATH, ServiceCounters,
    },
    money::MinorUnits,
};

use paylab_part::refusal::Refusal as Refused;
use tracing::error;

use crate::{
    bookings::{Bookings, Refusal},
    dedup::Answer,
    export,
    ledger::LedgerError,
    request::{Fault, Payment},
};

type Service = State<Arc<Bookings>>;
type Answered<T> = Result<T, Refused>;

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
        .fallback(async || Refused::new(StatusCode::NOT_FOUND, "there is no such path"))
        .with_state(bookings)
}

async fn pay(State(bookings): Service, headers: HeaderMap, body: Body) -> Answered<Response> {
    let body = to_bytes(body, BODY_LEN_MAX).await.map_err(|error| unread(&error))?;
    bookings.count_request();
    let payment = read(&headers, &body).inspect_err(|_| bookings.count_refused())?;
    Ok(bookings.book(payment).await.map_or_else(refuse, answer))
}

fn read(headers: &HeaderMap, body: &[u8]) -> Answered<Payment> {
    if !is_json(headers) {
        return Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json"));
    }
    Payment::read(headers, body).map_err(|Fault { field, detail }| Refused {
        status: StatusCode::BAD_REQUEST,
        field: field.map(str::to_owned),
        detail,
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = media_type.and_then(|value| value.split(';').next()).map(str::trim);
    essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"))
}

/// Too long, or cut off before its end: then nobody reads the answer.
fn unread(error: &axum::Error) -> Refused {
    if error.source().is_some_and(|source| source.is::<LengthLimitError>()) {
        Refused::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body has more than {BODY_LEN_MAX} bytes"))
    } else {
        Refused::new(StatusCode::BAD_REQUEST, "the body ended early")
    }
}

fn answer(answer: Answer) -> Response {
    match answer {
        Answer::Booked => StatusCode::OK.into_response(),
        Answer::Accepted => StatusCode::ACCEPTED.into_response(),
        Answer::Repeat => StatusCode::ALREADY_REPORTED.into_response(),
        Answer::Replayed(status) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
            (status, [(REPLAYED_HEADER, "true")]).into_response()
        }
        Answer::KeyReused => {
            Refused::new(StatusCode::UNPROCESSABLE_ENTITY, "this key belongs to another payment").into_response()
        }
        Answer::InFlight => {
            Refused::new(StatusCode::CONFLICT, "the first request with this key has not ended").into_response()
        }
    }
}

fn refuse(refusal: Refusal) -> Response {
    match refusal {
        Refusal::MissingKey => Refused::of_field(KEY_HEADER, "an idempotency key is required").into_response(),
        Refusal::Busy => {
            let busy = Refused::new(StatusCode::SERVICE_UNAVAILABLE, "too many payments wait; nothing was booked");
            ([(header::RETRY_AFTER, "1")], busy).into_response()
        }
        Refusal::Failed => broken().into_response(),
    }
}

/// The ledger has failed; only the log says how.
fn failed(bookings: &Bookings, error: &LedgerError) -> Refused {
    error!(error = bookings.ledger.explain(error), "the ledger failed");
    broken()
}

fn broken() -> Refused {
    Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "the ledger failed")
}

async fn clear(State(bookings): Service) -> Answered<StatusCode> {
    bookings.clear().await.map_err(|error| failed(&bookings, &error))?;
    Ok(StatusCode::OK)
}

async fn other_method() -> Response {
    let refused = Refused::new(StatusCode::METHOD_NOT_ALLOWED, "use POST to pay or DELETE to empty the ledger");
    ([(header::ALLOW, "DELETE, POST")], refused).into_response()
}

async fn stats(State(bookings): Service) -> Answered<Response> {
    let total = async { bookings.ledger.snapshot().await?.total_minor().await };
    let total = total.await.map_err(|error| failed(&bookings, &error))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], MinorUnits(total).to_stats()).into_response())
}

async fn ledger(State(bookings): Service) -> Response {
    ([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(export::stream(bookings))).into_response()
}

async fn drain(State(bookings): Service, Query(query): Query<DrainQuery>) -> Answered<StatusCode> {
    bookings.flights.answer(query).await
}

async fn counters(State(bookings): Service) -> Json<ServiceCounters> {
    Json(bookings.counters())
}

async fn ready(State(bookings): Service) -> Answered<StatusCode> {
    let read = async { bookings.ledger.snapshot().await?.entries_after(i64::MAX - 1, 1).await };
    read.await.map_err(|error| failed(&bookings, &error))?;
    Ok(StatusCode::OK)
}
