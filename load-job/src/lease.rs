//! The proxy's rules, put before the load and kept in force while it runs. It must not know what the load does meanwhile.

use std::time::Duration;

use paylab_experiment::contract::{LEASE_PATH, LeaseRenewal, RULES_PATH, Rules};
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, warn};

use crate::{
    Error, Load,
    ask::{AskError, Question, ask},
};

/// The lease is renewed so many times in its length, so that two renewals may fail.
const RENEWALS_PER_LEASE: u32 = 3;
/// It is not renewed more often.
const RENEWAL_PAUSE_MIN: Duration = Duration::from_millis(10);

/// A proxy that cannot be reached yet is asked again after this time.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// While this lives the rules are kept in force; afterwards they lapse by themselves.
#[derive(Debug)]
pub(crate) struct Lease {
    _renewals: AbortOnDropHandle<()>,
}

/// Puts the rules of the load's plan at the proxy. Every shard of a run puts the same ones.
pub(crate) async fn put_rules(load: &Load) -> Result<Lease, Error> {
    let rules = Rules {
        run_id: load.run.to_string(),
        seed: load.plan.seed(),
        faults: load.plan.faults.clone(),
        lease_ms: u64::try_from(load.lease.as_millis()).unwrap_or(u64::MAX),
    };
    let begun = Instant::now();
    while let Err(source) = send("PUT", &load.control, RULES_PATH, &rules).await {
        // A name of a cluster may lead nowhere for a moment after what is behind it is ready.
        if !source.is_unreached() || begun.elapsed() >= load.patience {
            return Err(Error::Rules { address: load.control.clone(), source });
        }
        debug!(error = %source, control = load.control, "the proxy cannot be reached yet");
        sleep(LOOK_EVERY).await;
    }
    let renewals = tokio::spawn(renew(load.control.clone(), load.run.to_string(), load.lease));
    Ok(Lease { _renewals: AbortOnDropHandle::new(renewals) })
}

/// Renews for as long as it is let to. A renewal that fails is tried again; if all fail, the rules lapse and the record says so.
async fn renew(control: String, run_id: String, lease: Duration) {
    let mut ticks = interval((lease / RENEWALS_PER_LEASE).max(RENEWAL_PAUSE_MIN));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await; // the first one is at once, and the rules are new
    let renewal = LeaseRenewal { run_id };
    loop {
        ticks.tick().await;
        if let Err(error) = send("POST", &control, LEASE_PATH, &renewal).await {
            warn!(%error, control, "cannot renew the lease of the proxy's rules");
        }
    }
}

async fn send(method: &str, address: &str, path: &str, body: &impl Serialize) -> Result<(), AskError> {
    let body = serde_json::to_string(body).map_err(std::io::Error::from)?;
    ask(Question { method, address, path, body: &body }, |_| ()).await
}
