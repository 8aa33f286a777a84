//! The proxy's rules, put before the load begins and kept in force while it runs. It must not know what the load does meanwhile.

use std::time::Duration;

use hyper::Method;
use paylab_core::fault::spec::FaultSpec;
use paylab_part::contract::{LEASE_PATH, LeaseRenewal, RULES_PATH, Rules};
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, warn};

use super::{ControlError, ControlRequest, SILENCE_MAX, send};
use crate::{error::Error, load::Load};

/// How many times the lease is renewed within its length, so that two renewals may fail.
const RENEWALS_PER_LEASE: u32 = 3;
/// The shortest pause between two renewals.
const RENEWAL_PAUSE_MIN: Duration = Duration::from_millis(10);

/// The pause before another try to reach a proxy that is not there yet.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Keeps the rules in force until it is dropped; afterwards they lapse by themselves.
#[derive(Debug)]
pub(crate) struct Lease {
    _renewals: AbortOnDropHandle<()>,
}

/// Puts the rules of the load's plan at the proxy. Every worker of a run puts the same ones.
pub(crate) async fn put_rules(load: &Load) -> Result<Lease, Error> {
    let rules = Rules {
        run_id: load.run.to_string(),
        seed: load.plan.seed(),
        faults: load.plan.faults().iter().map(FaultSpec::from).collect(),
        last_struck: load.plan.client.last_struck(),
        lease_ms: u64::try_from(load.lease.as_millis()).unwrap_or(u64::MAX),
    };
    let begun = Instant::now();
    while let Err(cause) = send_json(Method::PUT, &load.control, RULES_PATH, &rules).await {
        // A Service's name may not resolve for a moment after its pods are ready.
        if !cause.is_unreached() || begun.elapsed() >= load.patience {
            return Err(Error::Rules { address: load.control.clone(), cause });
        }
        debug!(error = %cause, control = load.control, "the proxy cannot be reached yet");
        sleep(RETRY_PAUSE).await;
    }
    let renewals = tokio::spawn(renew(load.control.clone(), load.run.to_string(), load.lease));
    Ok(Lease { _renewals: AbortOnDropHandle::new(renewals) })
}

/// Renews the lease until it is aborted. A renewal that fails is tried again; if all fail, the rules lapse and the record says so.
async fn renew(control: String, run_id: String, lease: Duration) {
    let mut ticks = interval((lease / RENEWALS_PER_LEASE).max(RENEWAL_PAUSE_MIN));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await; // the first tick is immediate, and the lease is new
    let renewal = LeaseRenewal { run_id };
    loop {
        ticks.tick().await;
        if let Err(error) = send_json(Method::POST, &control, LEASE_PATH, &renewal).await {
            warn!(%error, control, "cannot renew the lease of the proxy's rules");
        }
    }
}

async fn send_json(method: Method, address: &str, path: &str, body: &impl Serialize) -> Result<(), ControlError> {
    let body = serde_json::to_string(body).map_err(|error| ControlError::Broken(error.into()))?;
    send(ControlRequest { method, address, path, body, silence_max: SILENCE_MAX }, |_| ()).await
}
