//! `/healthz`, `/readyz` and `/metrics`: the only socket that the operator opens beside those to the API.

use std::sync::{Arc, OnceLock};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use kube::{api::PartialObjectMeta, runtime::reflector::Store};
use paylab_experiment::{
    contract::{HEALTH_PATH, READY_PATH},
    spec::ChaosExperiment,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::serve::metrics::Metrics;

/// As the specification of Prometheus' text format asks.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What can be asked.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// There once the controller runs; a standby has none.
    pub(crate) store: OnceLock<Store<PartialObjectMeta<ChaosExperiment>>>,
}

/// Answers until it is cancelled.
pub(crate) async fn serve(
    listener: TcpListener,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let router = Router::new()
        .route(HEALTH_PATH, get(async || "ok"))
        .route(READY_PATH, get(ready))
        .route("/metrics", get(show))
        .with_state((health, metrics));
    axum::serve(listener, router).with_graceful_shutdown(async move { shutdown.cancelled().await }).await
}

type Shared = State<(Arc<Health>, Arc<Metrics>)>;

/// A standby is ready to take over; a leader is once it has seen every experiment.
async fn ready(State((health, _)): Shared) -> (StatusCode, &'static str) {
    use futures::FutureExt as _;
    match health.store.get().map(|store| store.wait_until_ready().now_or_never()) {
        None => (StatusCode::OK, "standing by"),
        Some(Some(_)) => (StatusCode::OK, "ok"),
        Some(None) => (StatusCode::SERVICE_UNAVAILABLE, "the experiments have not been listed yet"),
    }
}

async fn show(State((health, metrics)): Shared) -> impl IntoResponse {
    ([(CONTENT_TYPE, OPEN_METRICS)], metrics.show(health.store.get()))
}
