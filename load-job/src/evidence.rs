//! Gathers the evidence of the other two witnesses, once nothing is in flight any more: the proxy's record and the service's ledger. It
//! must not judge: evidence that is missing or cut is handed on as it is, and the judge sees that it is not whole.

use std::time::Duration;

use hyper::Method;
use paylab_core::{
    plan::Plan,
    targets::Target,
    witness::{ledger::LedgerTally, record::RecordTally},
};
use paylab_part::contract::{DRAIN_PATH, RECORD_PATH};
use tokio::net::lookup_host;
use tracing::warn;

use crate::{
    control::{self, ControlError, ControlRequest, SILENCE_MAX, read_lines},
    load::Load,
    source::LedgerSource,
};

/// How long a part may take to end what is in flight, beside the time for which faults hold requests. Less than [`SILENCE_MAX`].
const DRAIN_MARGIN: Duration = Duration::from_secs(10);

/// The proxy's record and the service's ledger, added up for the load's share.
#[derive(Debug)]
pub(crate) struct Evidence {
    pub(crate) record: RecordTally,
    pub(crate) ledger: LedgerTally,
}

/// Drains the proxy, then the service, then reads both. A ledger that may still change is not read at all.
pub(crate) async fn gather(load: &Load) -> Evidence {
    let mut evidence = Evidence {
        record: RecordTally::new(&load.plan, &load.run, load.share()),
        ledger: LedgerTally::new(&load.plan, &load.run, load.share()),
    };
    if let Err(error) = drain(&load.control, &load.plan).await {
        warn!(%error, control = load.control, "the proxy cannot be drained, so neither record nor ledger is read");
        return evidence;
    }
    let share = load.share();
    let path = format!("{RECORD_PATH}?from={}&to={}", share.start, share.end);
    if let Err(error) = read_lines(&load.control, &path, |line| evidence.record.take(line)).await {
        warn!(%error, control = load.control, "the proxy's record is not whole");
    }
    if let Err(error) = drain_replicas(load).await {
        warn!(%error, service = load.service, "the payment service cannot be drained, so its ledger is not read");
        return evidence;
    }
    let source = LedgerSource::SealedNdjson { address: &load.service };
    if let Err(error) = source.read(&mut evidence.ledger).await {
        warn!(%error, service = load.service, "the payment service's ledger is not whole");
    }
    evidence
}

/// Drains every pod of the service, where its name leads to several; they share one ledger.
async fn drain_replicas(load: &Load) -> Result<(), ControlError> {
    let Target::Ours(service) = &load.plan.target;
    if service.replicas == 1 {
        return drain(&load.service, &load.plan).await;
    }
    for replica in lookup_host(&load.service).await.map_err(ControlError::Broken)? {
        drain(&replica.to_string(), &load.plan).await?;
    }
    Ok(())
}

async fn drain(address: &str, plan: &Plan) -> Result<(), ControlError> {
    let timeout = DRAIN_MARGIN + plan.longest_delay();
    let path = format!("{DRAIN_PATH}?timeout_ms={}", timeout.as_millis());
    let silence_max = SILENCE_MAX + plan.longest_delay();
    let request = ControlRequest { method: Method::GET, address, path: &path, body: String::new(), silence_max };
    control::send(request, |_| ()).await
}
