//! From the spec to the core's plan.

use paylab_contract::Contract;
use paylab_core::{
    client::{ClientPlan, Recovery, Redeliver},
    fault::sampler::FaultSampler,
    field_error::FieldError,
    money::MinorUnits,
    plan::Plan,
    probability::Probability,
    targets::{Target, ours::OurService},
};
use serde_json::json;

use crate::{
    spec::{self, ChaosExperimentSpec, Client, Service},
    validation,
};

/// Validates a spec and makes the plan. `drawn_seed` is used when the spec names no seed.
///
/// # Errors
/// Everything that is wrong, one error for each field.
pub fn plan(spec: &ChaosExperimentSpec, drawn_seed: u64) -> Result<Plan, Vec<FieldError>> {
    let errors = validation::check_spec(&json!(spec));
    if !errors.is_empty() {
        return Err(errors);
    }
    let target = match (&spec.target, contract(spec)?) {
        (Some(target), Some(contract)) => Target::Theirs(contract.service(target)),
        _ => Target::Ours(service(&spec.service)),
    };
    let amount = MinorUnits::parse_payable(&spec.payments.amount)
        .map_err(|error| vec![FieldError::new("spec.payments.amount", error.to_string())])?;
    let client = client(&spec.client);
    let sampler = FaultSampler::new(spec.seed.map_or(drawn_seed, i64::unsigned_abs), &spec.faults);
    Ok(Plan {
        claim: spec.claim,
        expect: spec.expect,
        sampler: sampler.striking_until(client.last_struck()),
        count: spec.payments.count.unsigned_abs(),
        amount,
        currency: spec.payments.currency.clone(),
        from: spec.payments.from.clone(),
        to: spec.payments.to.clone(),
        client,
        target,
        min_exposures: spec.min_exposures.map(i64::unsigned_abs),
        deadline: spec.active_deadline.duration(),
    })
}

/// The contract of the user's own service; `None`: Paylab's own service is paid.
///
/// # Errors
/// Everything that is wrong with it, one error for each field.
pub fn contract(spec: &ChaosExperimentSpec) -> Result<Option<Contract>, Vec<FieldError>> {
    let key = spec.client.idempotency_key;
    spec.target.as_ref().map(|target| Contract::new(target, key, "spec.target")).transpose()
}

fn client(client: &Client) -> ClientPlan {
    ClientPlan {
        max_attempts: match client.retry.max_attempts {
            0 => None,
            most => Some(most.unsigned_abs()),
        },
        backoff_base: client.retry.backoff.base.duration(),
        backoff_cap: client.retry.backoff.cap.duration(),
        attempt_timeout: client.retry.attempt_timeout.duration(),
        key: client.idempotency_key,
        concurrency: usize::try_from(client.concurrency).unwrap_or(1),
        workers: client.workers.unsigned_abs(),
        hedge: client.hedge.unsigned_abs(),
        rate: client.rate,
        connection: client.connection,
        body_drift: client.body_drift,
        stuck_after: client.retry.stuck_after.unsigned_abs(),
        recovery: client.recovery.as_ref().map(recovery),
        redeliver: client.redeliver.as_ref().map(redeliver),
    }
}

fn recovery(recovery: &spec::Recovery) -> Recovery {
    Recovery {
        attempts: recovery.attempts.unsigned_abs(),
        backoff_base: recovery.backoff.base.duration(),
        backoff_cap: recovery.backoff.cap.duration(),
    }
}

fn redeliver(redeliver: &spec::Redeliver) -> Redeliver {
    Redeliver { probability: Probability::of(redeliver.probability), after: redeliver.after.duration() }
}

fn service(service: &Service) -> OurService {
    OurService {
        dedup: service.dedup,
        replicas: service.replicas.unsigned_abs(),
        on_disconnect: service.on_disconnect,
        processing_time: service.processing_time.duration(),
        key_ttl: service.key_ttl.map(|ttl| ttl.duration()),
        missing_key: service.missing_key,
        fail_after: service.fail_after.map_or(Probability::NEVER, Probability::of),
    }
}
