//! `/healthz`, `/readyz` and `/metrics`.

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

use super::metrics::Metrics;

/// The content type of the metrics, as the OpenMetrics specification demands.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What readiness depends on.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// The experiments that the controller has listed; set when the controller starts, so unset in a standby operator.
    pub(crate) store: OnceLock<Store<PartialObjectMeta<ChaosExperiment>>>,
}

/// Answers requests until it is cancelled.
pub(crate) async fn serve(
    listener: TcpListener,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let router = Router::new()
        .route(HEALTH_PATH, get(async || "ok"))
        .route(READY_PATH, get(ready))
        .route("/metrics", get(all_metrics))
        .with_state((health, metrics));
    axum::serve(listener, router).with_graceful_shutdown(async move { shutdown.cancelled().await }).await
}

type Shared = State<(Arc<Health>, Arc<Metrics>)>;

/// A standby operator is always ready. A leader is ready once it has listed all experiments.
async fn ready(State((health, _)): Shared) -> (StatusCode, &'static str) {
    use futures::FutureExt as _;
    match health.store.get().map(|store| store.wait_until_ready().now_or_never()) {
        None => (StatusCode::OK, "standby"),
        Some(Some(_)) => (StatusCode::OK, "ok"),
        Some(None) => (StatusCode::SERVICE_UNAVAILABLE, "the experiments have not been listed yet"),
    }
}

async fn all_metrics(State((health, metrics)): Shared) -> impl IntoResponse {
    ([(CONTENT_TYPE, OPEN_METRICS)], metrics.encode(health.store.get()))
}
