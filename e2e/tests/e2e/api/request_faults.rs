//! Injects a fault into the n-th request of the operator's client. After a simulated kill, no response arrives.

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

/// A fault of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestFault {
    /// The operator is killed before the request is sent.
    KilledBefore,
    /// The operator is killed after the API server has carried out the request.
    KilledAfter,
    /// The request is not carried out; the response is 500.
    InternalError,
    /// The request is not carried out; the response is 409. Only writes can have this fault.
    Conflict,
    /// The request is carried out, but the response is lost.
    ResponseLost,
}

impl RequestFault {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::KilledBefore => "killed-before",
            Self::KilledAfter => "killed-after",
            Self::InternalError => "internal-error",
            Self::Conflict => "conflict",
            Self::ResponseLost => "response-lost",
        }
    }
}

/// Counts the requests of one operator and injects a fault into one of them.
#[derive(Debug, Clone)]
pub(crate) struct FaultInjector {
    fault: Option<(usize, RequestFault)>,
    state: Arc<InjectorState>,
}

#[derive(Debug, Default)]
struct InjectorState {
    requests: AtomicUsize,
    injected: AtomicUsize,
    killed: tokio::sync::Notify,
}

impl FaultInjector {
    /// Injects a fault into the n-th request, counted from 1.
    pub(crate) fn new(fault: Option<(usize, RequestFault)>) -> Self {
        Self { fault, state: Arc::default() }
    }

    /// Whether the fault was injected.
    pub(crate) fn has_injected(&self) -> bool {
        self.state.injected.load(Ordering::SeqCst) > 0
    }

    /// Resolves when the operator is to be killed.
    pub(crate) async fn killed(&self) {
        self.state.killed.notified().await;
    }

    /// The fault of this request. A request that cannot have the fault leaves it to the next one.
    fn fault_of(&self, request: &Request<Body>) -> Option<RequestFault> {
        let number = self.state.requests.fetch_add(1, Ordering::SeqCst) + 1;
        let (at, fault) = self.fault?;
        let is_possible = fault != RequestFault::Conflict || request.method() != Method::GET;
        let is_injected = number >= at && is_possible && self.state.injected.fetch_add(1, Ordering::SeqCst) == 0;
        is_injected.then_some(fault)
    }
}

impl<S> Layer<S> for FaultInjector {
    type Service = FaultyService<S>;

    fn layer(&self, inner: S) -> FaultyService<S> {
        FaultyService { inner, injector: self.clone() }
    }
}

type ResponseBody = UnsyncBoxBody<Bytes, BoxError>;

/// The HTTP client for the API server, with the fault.
#[derive(Debug)]
pub(crate) struct FaultyService<S> {
    inner: S,
    injector: FaultInjector,
}

impl<S, B> Service<Request<Body>> for FaultyService<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes, Error = BoxError> + Send + 'static,
{
    type Response = Response<ResponseBody>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<ResponseBody>, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let state = Arc::clone(&self.injector.state);
        match self.injector.fault_of(&request) {
            None => self.inner.call(request).map_ok(|response| response.map(B::boxed_unsync)).boxed(),
            Some(RequestFault::InternalError) => error_response(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
            Some(RequestFault::Conflict) => error_response(StatusCode::CONFLICT, "Conflict"),
            Some(RequestFault::ResponseLost) => {
                self.inner.call(request).and_then(async |_| Err("the connection was reset".into())).boxed()
            }
            Some(RequestFault::KilledBefore) => {
                state.killed.notify_one();
                future::pending().boxed()
            }
            Some(RequestFault::KilledAfter) => {
                let response = self.inner.call(request);
                async move {
                    response.await?;
                    state.killed.notify_one();
                    future::pending().await
                }
                .boxed()
            }
        }
    }
}

fn error_response(code: StatusCode, reason: &str) -> BoxFuture<'static, Result<Response<ResponseBody>, BoxError>> {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(),
        "reason": reason, "message": "injected by the test"});
    let response =
        Response::builder().status(code).body(Full::from(status.to_string()).map_err(BoxError::from).boxed_unsync());
    async move { Ok(response?) }.boxed()
}
