//! Gathers the evidence of the other two witnesses, once nothing is in flight any more: the proxy's record and the service's ledger. It
//! must not judge: evidence that is missing or cut is handed on as it is, and the judge sees that it is not whole.

use hyper::Method;
use paylab_experiment::{
    contract::{DRAIN_PATH, RECORD_PATH},
    ledger::LedgerTally,
    record::RecordTally,
};
use tokio::net::lookup_host;
use tracing::warn;

use crate::{
    control::{self, ControlError, ControlRequest, read_lines},
    load::Load,
    source::LedgerSource,
};

/// How long a part may take to end what is in flight, in milliseconds; less than the silence that control traffic bears.
const DRAIN_MS_MAX: u64 = 10_000;

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
    if let Err(error) = drain(&load.control).await {
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
    if load.plan.service.replicas == 1 {
        return drain(&load.service).await;
    }
    for replica in lookup_host(&load.service).await.map_err(ControlError::Broken)? {
        drain(&replica.to_string()).await?;
    }
    Ok(())
}

async fn drain(address: &str) -> Result<(), ControlError> {
    let path = format!("{DRAIN_PATH}?timeout_ms={DRAIN_MS_MAX}");
    let request = ControlRequest { method: Method::GET, address, path: &path, body: String::new() };
    control::send(request, |_| ()).await
}
