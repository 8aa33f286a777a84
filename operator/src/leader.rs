//! Who leads among several operators: the holder of a Lease. Whoever cannot be sure any more that it leads ends at once and
//! is started anew; the experiments do not notice.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use kube_lease_manager::LeaseManagerBuilder;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, interval, timeout},
};
use tracing::{info, warn};

use crate::options::Leadership;

/// How long a Lease holds after it was last renewed, in seconds.
const LEASE_SECS: u64 = 15;
/// It is renewed so long before it ends, in seconds.
const GRACE_SECS: u64 = 5;
/// How often the holder looks for itself whether it still leads.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Why nobody may go on.
#[derive(Debug, thiserror::Error)]
pub enum LeaderError {
    /// The Lease cannot be made or read.
    #[error("the lease {name} cannot be had: {source}")]
    Lease {
        /// Its name.
        name: String,
        /// What the API says.
        source: Box<kube_lease_manager::LeaseManagerError>,
    },
    /// Another operator holds the Lease, or the API has not confirmed for too long that this one does.
    #[error("this operator does not lead any more")]
    Lost,
}

/// The Lease, held.
pub(crate) struct Leader {
    client: Client,
    name: String,
    namespace: String,
    identity: String,
    /// Renewal goes on for as long as this is kept.
    held: watch::Receiver<bool>,
    _renewal: JoinHandle<kube_lease_manager::Result<kube_lease_manager::LeaseManager>>,
}

/// Waits until this operator leads; `None`: there is no Lease, and it is the only one.
pub(crate) async fn lead(client: &Client, options: &Leadership) -> Result<Option<Leader>, LeaderError> {
    let Leadership { lease: Some(name), lease_namespace, identity } = options else { return Ok(None) };
    let failed = |source| LeaderError::Lease { name: name.clone(), source: Box::new(source) };
    let namespace = lease_namespace.clone().unwrap_or_default();
    let identity = identity.clone().unwrap_or_default();
    let manager = LeaseManagerBuilder::new(client.clone(), name)
        .with_namespace(&namespace)
        .with_identity(&identity)
        .with_field_manager(format!("paylab-{identity}"))
        .with_duration(LEASE_SECS)
        .with_grace(GRACE_SECS)
        .build()
        .await
        .map_err(failed)?;
    let (mut held, renewal) = manager.watch().await;
    info!(lease = name, identity, "standing by");
    if held.wait_for(|held| *held).await.is_err() {
        return Err(LeaderError::Lost);
    }
    info!(lease = name, identity, "leading");
    Ok(Some(Leader { client: client.clone(), name: name.clone(), namespace, identity, held, _renewal: renewal }))
}

impl Leader {
    /// Returns when this operator can no longer be sure that it leads. While the API is away the Lease's keeper goes on saying
    /// that it does; here the last time that the API has confirmed it counts.
    pub(crate) async fn lost(mut self) -> LeaderError {
        let leases = Api::<Lease>::namespaced(self.client.clone(), &self.namespace);
        let mut confirmed = Instant::now();
        let mut looks = interval(LOOK_EVERY);
        while confirmed.elapsed() < Duration::from_secs(LEASE_SECS) {
            tokio::select! {
                _ = looks.tick() => {}
                // It resolves when another operator holds the Lease.
                _ = self.held.wait_for(|held| !*held) => break,
            }
            let asked = Instant::now();
            match timeout(LOOK_EVERY, leases.get(&self.name)).await {
                Ok(Ok(lease)) if holder(&lease) == Some(self.identity.as_str()) => confirmed = asked,
                Ok(Ok(_)) => break,
                Ok(Err(error)) => warn!(%error, "the lease cannot be read"),
                Err(_) => warn!("the API does not answer"),
            }
        }
        LeaderError::Lost
    }
}

fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref()
}
