//! The routes: extract, call, answer.

pub(crate) mod problem;

use std::{error::Error as _, sync::Arc, time::Duration};

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
        BODY_LEN_MAX, COUNTERS_PATH, DRAIN_PATH, DrainQuery, HEALTH_PATH, LEDGER_PATH, NDJSON, PAYMENTS_PATH,
        READY_PATH, REPLAYED_HEADER, STATS_PATH, ServiceCounters,
    },
    money::MinorUnits,
};

use self::problem::Refused;
use crate::{bookings::Bookings, dedup::Answer, export, request::Payment};

/// A drain waits so long unless it is told otherwise.
const DRAIN_MS: u64 = 10_000;
/// And never longer than this.
const DRAIN_MS_MAX: u64 = 60_000;

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
    Ok(answer(bookings.book(payment).await?))
}

fn read(headers: &HeaderMap, body: &[u8]) -> Answered<Payment> {
    if !is_json(headers) {
        return Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json"));
    }
    Ok(Payment::read(headers, body)?)
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

async fn clear(State(bookings): Service) -> Answered<StatusCode> {
    bookings.clear().await?;
    Ok(StatusCode::OK)
}

async fn other_method() -> Refused {
    Refused::new(StatusCode::METHOD_NOT_ALLOWED, "use POST to pay or DELETE to empty the ledger")
}

async fn stats(State(bookings): Service) -> Answered<Response> {
    let total = bookings.ledger.snapshot().await?.total_minor().await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], MinorUnits(total).to_stats()).into_response())
}

async fn ledger(State(bookings): Service) -> Response {
    ([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(export::stream(bookings))).into_response()
}

async fn drain(State(bookings): Service, Query(query): Query<DrainQuery>) -> Answered<StatusCode> {
    let most = Duration::from_millis(query.timeout_ms.unwrap_or(DRAIN_MS).min(DRAIN_MS_MAX));
    if bookings.flights.drain(most).await {
        Ok(StatusCode::OK)
    } else {
        Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, format!("bookings are still under way after {most:?}")))
    }
}

async fn counters(State(bookings): Service) -> Json<ServiceCounters> {
    Json(bookings.counters())
}

async fn ready(State(bookings): Service) -> Answered<StatusCode> {
    bookings.ledger.snapshot().await?.entries_after(i64::MAX - 1, 1).await?;
    Ok(StatusCode::OK)
}
