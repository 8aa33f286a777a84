//! What can be asked: extract, order, respond.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, FromRequest, Request, State, rejection::JsonRejection},
    http::StatusCode,
    middleware,
    response::{
        IntoResponse as _, Redirect, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::{get, post},
};
use futures::{Stream, StreamExt as _, stream};
use paylab_core::targets::ours::Dedup;
use paylab_part::refusal::Refusal;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::sync::{mpsc, oneshot};

use super::{
    assets,
    experiment::{Pay, Payments},
    guard::guard,
    state::{Doing, Shared},
    watching::observe,
    work::{Done, Job, Order},
};

/// So many may look at once.
const FOLLOWERS_MAX: usize = 32;
/// No request has a longer body.
const BODY_LEN_MAX: usize = 4096;

#[derive(Debug, Clone)]
struct Desk {
    shared: Arc<Shared>,
    orders: mpsc::Sender<Order>,
}

/// The shares of connections that are to be broken.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Shares {
    request_lost: f64,
    answer_lost: f64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mode {
    dedup: Dedup,
}

/// No more than this is to be said.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Empty {}

/// A body that is refused with its field if it cannot be read.
#[derive(Debug)]
struct Said<T>(T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Said<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let read = Json::from_request(request, state).await;
        read.map(|Json(said)| Self(said))
            .map_err(|error: JsonRejection| Refusal::new(error.status(), error.body_text()))
    }
}

/// Every route of the page.
pub(super) fn router(shared: Arc<Shared>, orders: mpsc::Sender<Order>) -> Router {
    Router::new()
        .route("/", get(assets::page))
        .route("/style.css", get(assets::style))
        .route("/page.js", get(assets::script))
        .route("/motion.js", get(assets::motion))
        .route("/icon.svg", get(assets::icon))
        .route("/favicon.ico", get(async || Redirect::permanent("/icon.svg")))
        .route("/report", get(report))
        .route("/api/events", get(events))
        .route("/api/pay", post(pay))
        .route("/api/toxics", post(set_toxics))
        .route("/api/mode", post(change_mode))
        .route("/api/clear", post(clear))
        .route("/api/stop", post(stop))
        .fallback(async || Refusal::new(StatusCode::NOT_FOUND, "there is no such path"))
        .layer(DefaultBodyLimit::max(BODY_LEN_MAX))
        .layer(middleware::from_fn(guard))
        .layer(middleware::map_response(assets::protect))
        .with_state(Desk { shared, orders })
}

async fn pay(State(desk): State<Desk>, Said(pay): Said<Pay>) -> Result<Json<Done>, Refusal> {
    let doing = match pay.payments {
        Payments::One => Doing::PayingOne,
        Payments::Thousand => Doing::PayingMany,
    };
    desk.order(Job::Pay(pay), doing).await
}

async fn change_mode(State(desk): State<Desk>, Said(Mode { dedup }): Said<Mode>) -> Result<Json<Done>, Refusal> {
    desk.order(Job::Mode(dedup), Doing::ChangingMode).await
}

async fn clear(State(desk): State<Desk>, Said(Empty {}): Said<Empty>) -> Result<Json<Done>, Refusal> {
    desk.order(Job::Clear, Doing::Clearing).await
}

/// Ends the load that is under way; what it has done so far is judged.
async fn stop(State(desk): State<Desk>, Said(Empty {}): Said<Empty>) -> StatusCode {
    desk.shared.stop().cancel();
    StatusCode::NO_CONTENT
}

async fn set_toxics(State(desk): State<Desk>, Said(shares): Said<Shares>) -> Result<StatusCode, Refusal> {
    let Shares { request_lost, answer_lost } = shares;
    // Before any of them is set.
    for (field, share) in [("requestLost", request_lost), ("answerLost", answer_lost)] {
        if !(0.0..=1.0).contains(&share) {
            return Err(Refusal::new(StatusCode::BAD_REQUEST, format!("{field}: {share} is no share from 0 to 1")));
        }
    }
    let parts = &desk.shared.parts;
    // Two pages that look for a toxic before either has made it would make it twice.
    let _one_at_a_time = desk.shared.setting_toxics.lock().await;
    for (stream, share) in [("upstream", request_lost), ("downstream", answer_lost)] {
        let set = parts.set_toxic(stream, share).await;
        set.map_err(|error| Refusal::new(StatusCode::BAD_GATEWAY, format!("the proxy does not take it: {error}")))?;
    }
    // If they cannot be read now, the next look shows them.
    let _ = observe(&desk.shared).await;
    Ok(StatusCode::NO_CONTENT)
}

async fn report(State(desk): State<Desk>) -> Result<Response, Refusal> {
    let none = || Refusal::new(StatusCode::NOT_FOUND, "there is no report yet: pay a thousand first");
    Ok(assets::report(desk.shared.report().ok_or_else(none)?.to_string()))
}

/// The state, now and whenever it changes, until the page is closed.
async fn events(State(desk): State<Desk>) -> Result<Response, Refusal> {
    if desk.shared.followers() >= FOLLOWERS_MAX {
        let detail = format!("{FOLLOWERS_MAX} pages are open; close one");
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, detail));
    }
    let shutdown = desk.shared.shutdown.clone().cancelled_owned();
    let states = states(&desk.shared).take_until(Box::pin(shutdown));
    Ok(Sse::new(states).keep_alive(KeepAlive::default()).into_response())
}

fn states(shared: &Shared) -> impl Stream<Item = Result<Event, Infallible>> + use<> {
    stream::unfold(shared.follow(), async |mut following| {
        following.changed().await.ok()?;
        let json = serde_json::to_string(&*following.borrow_and_update()).unwrap_or_default();
        Some((Ok(Event::default().data(json)), following))
    })
}

impl Desk {
    /// Has something done, and waits for it.
    async fn order(&self, job: Job, doing: Doing) -> Result<Json<Done>, Refusal> {
        let busy = self.shared.begin(doing).ok_or_else(|| {
            Refusal::new(StatusCode::CONFLICT, "something else is being done; wait for its end, or stop it")
        })?;
        let ended = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the lesson ends");
        let (reply, done) = oneshot::channel();
        self.orders.send(Order { job, reply, busy }).await.map_err(|_| ended())?;
        done.await.map_err(|_| ended())?.map(Json)
    }
}
