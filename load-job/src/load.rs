//! What a worker is to send, and where the other parts are.

use std::{ops::Range, sync::Arc, time::Duration};

use paylab_contract::Contract;
use paylab_core::{plan::Plan, run_id::RunId};
use paylab_part::tls::{TlsDialer, TlsError};

/// One share of an experiment, and where the other parts are (`HOST:PORT` each).
#[derive(Debug, Clone)]
pub struct Load {
    /// What to send and how.
    pub plan: Plan,
    /// Names the run.
    pub run: RunId,
    /// Where payments go.
    pub proxy: String,
    /// Where the proxy takes rules and shows its record.
    pub control: String,
    /// Where the payment service shows its ledger.
    pub service: String,
    /// Where its other replicas are drained, if the name of the service does not lead to all of them.
    pub replicas: Vec<String>,
    /// The contract of the user's own service; `None`: Paylab's own service is paid.
    pub contract: Option<Arc<Contract>>,
    /// What makes TLS of connections to that service, see [`Load::tls_of`]; `None`: it speaks plain HTTP.
    pub tls: Option<TlsDialer>,
    /// Which of `plan.client.workers`, from 0.
    pub worker: u32,
    /// The proxy's rules lapse this long after the load has last renewed them.
    pub lease: Duration,
    /// How long the proxy may be out of reach before the load begins.
    pub patience: Duration,
}

impl Load {
    /// What makes TLS of connections to the service of a contract; `None`: it speaks plain HTTP.
    ///
    /// # Errors
    /// The certificates that the contract names cannot be used, or the machine knows nobody who may sign.
    pub fn tls_of(contract: Option<&Contract>) -> Result<Option<TlsDialer>, TlsError> {
        let tls = contract.and_then(|contract| contract.origin.tls.as_ref());
        tls.map(|tls| TlsDialer::new(&tls.name, tls.ca.as_deref())).transpose()
    }

    /// The payments of this share; none when the plan has no such worker.
    #[must_use]
    pub const fn share(&self) -> Range<u64> {
        if self.worker < self.plan.client.workers {
            self.plan.share(self.worker, self.plan.client.workers)
        } else {
            0..0
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A load of Paylab's own service that goes nowhere.
    pub(crate) fn load(spec: serde_json::Value) -> Load {
        let spec = serde_json::from_value(spec).unwrap();
        Load {
            plan: paylab_resource::plan::plan(&spec, 0).unwrap(),
            run: "run-1".parse().unwrap(),
            proxy: "127.0.0.1:1".to_owned(),
            control: "127.0.0.1:1".to_owned(),
            service: "127.0.0.1:1".to_owned(),
            contract: paylab_resource::plan::contract(&spec).unwrap().map(Arc::new),
            tls: None,
            replicas: Vec::new(),
            worker: 0,
            lease: Duration::from_secs(1),
            patience: Duration::ZERO,
        }
    }
}
