//! The routes of the fault plane at the control port: rules, lease, record, plan, counters, drain. They must not touch a
//! client's connection.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures::{StreamExt, stream};
use paylab_core::{
    fault::sampler::FaultSampler,
    field_error::FieldError,
    payment::{AttemptId, PaymentId},
};
use paylab_part::contract::{
    COUNTERS_PATH, DRAIN_PATH, DrainQuery, HEALTH_PATH, LEASE_PATH, LeaseRenewal, NDJSON, PLAN_PATH, PaymentWindow,
    PlanQuery, PlannedFate, ProxyCounters, READY_PATH, RECORD_PATH, RULES_PATH, Rules, RulesInForce,
};
use paylab_part::refusal::Refusal;
use tracing::info;

use crate::fault::{
    plane::FaultPlane,
    query::{Query, parse_json},
    record::export::export,
    rules::{PutError, RenewError, check},
};

const PLAN_PAYMENTS_DEFAULT: u64 = 10;
const PLAN_PAYMENTS_MAX: u64 = 100_000;
const PLAN_ATTEMPTS_DEFAULT: u32 = 3;
const PLAN_ATTEMPTS_MAX: u32 = 1_000;
/// The number of fates in one piece of the response.
const FATES_PER_PIECE: usize = 256;

/// The routes of the fault plane.
pub(crate) fn router(plane: Arc<FaultPlane>) -> Router {
    Router::new()
        .route(RULES_PATH, get(show_rules).put(put_rules).delete(remove_rules))
        .route(LEASE_PATH, post(renew_lease))
        .route(RECORD_PATH, get(export_record))
        .route(PLAN_PATH, get(show_plan))
        .route(COUNTERS_PATH, get(show_counters))
        .route(DRAIN_PATH, get(drain))
        // Both ports are bound before this route can answer.
        .route(HEALTH_PATH, get(|| async {}))
        .route(READY_PATH, get(ready))
        .with_state(plane)
}

/// The proxy is ready when it can reach the service. On a cluster the name of the service resolves a moment after the
/// service itself is ready.
async fn ready(State(plane): State<Arc<FaultPlane>>) -> Result<StatusCode, Refusal> {
    if !plane.serves_clients {
        return Ok(StatusCode::OK);
    }
    match plane.dial().await {
        Ok(_) => Ok(StatusCode::OK),
        Err(error) => {
            let detail = format!("the service cannot be reached: {error}");
            Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, detail))
        }
    }
}

async fn put_rules(State(plane): State<Arc<FaultPlane>>, body: Bytes) -> Result<Json<RulesInForce>, Refusal> {
    let rules: Rules = parse_json(&body)?;
    let mut errors = check(&rules);
    if !plane.service_life.is_supervised() {
        let kills = rules.faults.iter().enumerate().filter(|(_, fault)| fault.kill.is_some());
        let problem = "needs a supervisor of the service; start the service with `paylab supervise` and the proxy with --supervisor";
        errors.extend(kills.map(|(index, _)| FieldError::new(format!("faults[{index}].kill"), problem)));
    }
    if !errors.is_empty() {
        return Err(Refusal::of_fields(&errors));
    }
    let in_force = plane.rules.put(rules)?;
    let Rules { run_id, seed, faults, last_struck: _, lease_ms } = &in_force.rules;
    info!(%run_id, seed, faults = faults.len(), lease_ms, "put rules in force");
    Ok(Json(in_force))
}

async fn show_rules(State(plane): State<Arc<FaultPlane>>) -> Result<Json<RulesInForce>, Refusal> {
    match plane.rules.current() {
        Some(rules) => Ok(Json(rules.show())),
        None => Err(no_rules()),
    }
}

async fn remove_rules(State(plane): State<Arc<FaultPlane>>) -> StatusCode {
    plane.rules.remove();
    info!("removed the rules");
    StatusCode::NO_CONTENT
}

async fn renew_lease(State(plane): State<Arc<FaultPlane>>, body: Bytes) -> Result<Json<RulesInForce>, Refusal> {
    let LeaseRenewal { run_id } = parse_json(&body)?;
    Ok(Json(plane.rules.renew(&run_id)?))
}

async fn export_record(State(plane): State<Arc<FaultPlane>>, Query(window): Query<PaymentWindow>) -> Response {
    let record = plane.rules.current().map(|rules| Arc::clone(&rules.record));
    ([(CONTENT_TYPE, NDJSON)], Body::from_stream(export(record, window))).into_response()
}

async fn show_plan(
    State(plane): State<Arc<FaultPlane>>,
    Query(query): Query<PlanQuery>,
) -> Result<impl IntoResponse, Refusal> {
    let from = query.from.unwrap_or(0);
    let to = query.to.unwrap_or(from.saturating_add(PLAN_PAYMENTS_DEFAULT));
    let attempts = query.attempts.unwrap_or(PLAN_ATTEMPTS_DEFAULT);
    let errors = check_plan(from, to, attempts);
    if !errors.is_empty() {
        return Err(Refusal::of_fields(&errors));
    }
    let record = Arc::clone(&plane.rules.current().ok_or_else(no_rules)?.record);
    let ids = (from..to)
        .flat_map(move |payment| (1..=attempts).map(move |attempt| AttemptId { payment: PaymentId(payment), attempt }));
    let pieces = stream::iter(ids).chunks(FATES_PER_PIECE).map(move |ids| {
        let fates: Result<Vec<_>, _> = ids.into_iter().map(|id| fate_line(record.sampler(), id)).collect();
        fates.map(|lines| lines.concat())
    });
    Ok(([(CONTENT_TYPE, NDJSON)], Body::from_stream(pieces)))
}

async fn show_counters(State(plane): State<Arc<FaultPlane>>) -> Json<ProxyCounters> {
    Json(plane.counters.show(plane.in_flight.count()))
}

async fn drain(State(plane): State<Arc<FaultPlane>>, Query(query): Query<DrainQuery>) -> Result<StatusCode, Refusal> {
    plane.in_flight.answer(query).await
}

fn check_plan(from: u64, to: u64, attempts: u32) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if to < from || to - from > PLAN_PAYMENTS_MAX {
        let text = format!("must be from {from} to {}", from.saturating_add(PLAN_PAYMENTS_MAX));
        errors.push(FieldError::new("to", text));
    }
    if !(1..=PLAN_ATTEMPTS_MAX).contains(&attempts) {
        errors.push(FieldError::new("attempts", format!("must be from 1 to {PLAN_ATTEMPTS_MAX}")));
    }
    errors
}

fn fate_line(sampler: &FaultSampler, id: AttemptId) -> serde_json::Result<Vec<u8>> {
    let draw = sampler.draw(id);
    let faults = sampler.faults();
    let fate = PlannedFate {
        payment: id.payment.0,
        attempt: id.attempt,
        fired: (0..faults.len())
            .filter(|index| draw.has_fired(*index))
            .map(|index| faults[index].name.clone())
            .collect(),
        fault: draw.effective.map(|index| faults[index].name.clone()),
        at: sampler.point(&draw),
    };
    let mut line = serde_json::to_vec(&fate)?;
    line.push(b'\n');
    Ok(line)
}

fn no_rules() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "no rules are in force")
}

impl From<PutError> for Refusal {
    fn from(error: PutError) -> Self {
        match error {
            PutError::Changed(_) => Self::new(StatusCode::CONFLICT, error.to_string()),
            PutError::Record(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }
}

impl From<RenewError> for Refusal {
    fn from(error: RenewError) -> Self {
        match error {
            RenewError::NoRules => no_rules(),
            RenewError::OtherRun(_) => Self::new(StatusCode::CONFLICT, error.to_string()),
        }
    }
}
