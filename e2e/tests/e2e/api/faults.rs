//! A client whose n-th request meets a fault, and which is dead from then on where the fault is the operator's own death.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{
    FutureExt as _, TryFutureExt as _,
    future::{self, BoxFuture},
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use kube::client::Body;
use serde_json::json;
use tower::{BoxError, Layer, Service};

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The operator dies before it is sent.
    KilledBefore,
    /// The operator dies after it was carried out.
    KilledAfter,
    /// It is not carried out, and the API server says so.
    InternalError,
    /// It is not carried out, because somebody else was faster. Only what is written can be met by this.
    Conflict,
    /// It is carried out, and the answer never comes.
    AnswerLost,
}

impl Fault {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::KilledBefore => "killed-before",
            Self::KilledAfter => "killed-after",
            Self::InternalError => "internal-error",
            Self::Conflict => "conflict",
            Self::AnswerLost => "answer-lost",
        }
    }
}

/// Counts the requests of one operator and lets a fault meet one of them.
#[derive(Debug, Clone)]
pub(crate) struct Saboteur {
    fault: Option<(usize, Fault)>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    requests: AtomicUsize,
    struck: AtomicUsize,
    death: tokio::sync::Notify,
}

impl Saboteur {
    /// Lets `fault` meet the `n`-th request, from 1.
    pub(crate) fn new(fault: Option<(usize, Fault)>) -> Self {
        Self { fault, shared: Arc::default() }
    }

    /// Whether the fault has met a request.
    pub(crate) fn has_struck(&self) -> bool {
        self.shared.struck.load(Ordering::SeqCst) > 0
    }

    /// Resolves when the operator is to die.
    pub(crate) async fn death(&self) {
        self.shared.death.notified().await;
    }

    /// The fault that meets this request. Where it cannot be met, the next one is.
    fn fault_of(&self, request: &Request<Body>) -> Option<Fault> {
        let number = self.shared.requests.fetch_add(1, Ordering::SeqCst) + 1;
        let (at, fault) = self.fault?;
        let fits = fault != Fault::Conflict || request.method() != Method::GET;
        let strikes = number >= at && fits && self.shared.struck.fetch_add(1, Ordering::SeqCst) == 0;
        strikes.then_some(fault)
    }
}

impl<S> Layer<S> for Saboteur {
    type Service = Sabotaged<S>;

    fn layer(&self, inner: S) -> Sabotaged<S> {
        Sabotaged { inner, saboteur: self.clone() }
    }
}

type Answer = UnsyncBoxBody<Bytes, BoxError>;

/// The way to the API server.
#[derive(Debug)]
pub(crate) struct Sabotaged<S> {
    inner: S,
    saboteur: Saboteur,
}

impl<S, B> Service<Request<Body>> for Sabotaged<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes, Error = BoxError> + Send + 'static,
{
    type Response = Response<Answer>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Answer>, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let shared = Arc::clone(&self.saboteur.shared);
        match self.saboteur.fault_of(&request) {
            None => self.inner.call(request).map_ok(|response| response.map(B::boxed_unsync)).boxed(),
            Some(Fault::InternalError) => answer(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
            Some(Fault::Conflict) => answer(StatusCode::CONFLICT, "Conflict"),
            Some(Fault::AnswerLost) => {
                self.inner.call(request).and_then(async |_| Err("the connection was reset".into())).boxed()
            }
            Some(Fault::KilledBefore) => {
                shared.death.notify_one();
                future::pending().boxed()
            }
            Some(Fault::KilledAfter) => {
                let carried_out = self.inner.call(request);
                async move {
                    carried_out.await?;
                    shared.death.notify_one();
                    future::pending().await
                }
                .boxed()
            }
        }
    }
}

fn answer(code: StatusCode, reason: &str) -> BoxFuture<'static, Result<Response<Answer>, BoxError>> {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(),
        "reason": reason, "message": "said by the test"});
    let response =
        Response::builder().status(code).body(Full::from(status.to_string()).map_err(BoxError::from).boxed_unsync());
    async move { Ok(response?) }.boxed()
}
