//! The control port: the routes of both planes, and the metrics.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{
    fault::{control as fault_control, plane::FaultPlane},
    metrics,
    toxic::{api, collection::Collection},
};

/// The router of the control port. Paths that no route of the fault plane has belong to Toxiproxy's API.
pub(crate) fn router(plane: &Arc<FaultPlane>, collection: &Arc<Collection>) -> Router {
    let metrics = get(show_metrics).fallback(|| async { StatusCode::METHOD_NOT_ALLOWED });
    Router::new()
        .route("/metrics", metrics)
        .with_state((Arc::clone(plane), Arc::clone(collection)))
        .merge(fault_control::router(Arc::clone(plane)))
        .fallback_service(api::router(Arc::clone(collection)))
        .layer(middleware::from_fn(api::identify))
}

async fn show_metrics(State((plane, collection)): State<(Arc<FaultPlane>, Arc<Collection>)>) -> Response {
    let faults = plane.counters.show(plane.in_flight.count());
    let text = metrics::render(collection.proxies.lock().await.values(), &faults);
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}
