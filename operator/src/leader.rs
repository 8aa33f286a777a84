//! Leader election: of several operators the holder of a Lease works. An operator that cannot be sure any more that it holds
//! the Lease ends at once and is restarted by Kubernetes, which does not disturb the experiments.

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

/// How long the Lease is valid after a renewal, in seconds.
const LEASE_SECS: u64 = 15;
/// How long before its end the Lease is renewed, in seconds.
const GRACE_SECS: u64 = 5;
/// How often the leader reads the Lease to confirm that it still holds it.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Why this operator may not work.
#[derive(Debug, thiserror::Error)]
pub enum LeaderError {
    /// The Lease cannot be created or read.
    #[error("cannot acquire the lease {name}: {source}")]
    Lease {
        /// The Lease's name.
        name: String,
        /// The error of the election.
        source: Box<kube_lease_manager::LeaseManagerError>,
    },
    /// Another operator holds the Lease, or the API has not confirmed for too long that this one does.
    #[error("this operator is no longer the leader")]
    Lost,
}

/// The Lease that this operator holds.
pub(crate) struct Leader {
    client: Client,
    name: String,
    namespace: String,
    identity: String,
    /// Whether the Lease is held, as the renewal task says. The task runs until this receiver is dropped.
    held: watch::Receiver<bool>,
    _renewal: JoinHandle<kube_lease_manager::Result<kube_lease_manager::LeaseManager>>,
}

/// Waits until this operator is the leader. `None` means that no Lease is configured, so this is the only operator.
///
/// # Errors
/// The Lease cannot be created or read, or its renewal ended.
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
    info!(lease = name, identity, "waiting for the lease");
    if held.wait_for(|held| *held).await.is_err() {
        return Err(LeaderError::Lost);
    }
    info!(lease = name, identity, "this operator is the leader");
    Ok(Some(Leader { client: client.clone(), name: name.clone(), namespace, identity, held, _renewal: renewal }))
}

impl Leader {
    /// Returns when this operator can no longer be sure that it is the leader. While the API is unreachable the renewal task
    /// still says that the Lease is held; here the last confirmation by the API counts.
    pub(crate) async fn lost(mut self) -> LeaderError {
        let leases = Api::<Lease>::namespaced(self.client.clone(), &self.namespace);
        let mut confirmed = Instant::now();
        let mut checks = interval(CHECK_INTERVAL);
        while confirmed.elapsed() < Duration::from_secs(LEASE_SECS) {
            tokio::select! {
                _ = checks.tick() => {}
                // Resolves when another operator holds the Lease.
                _ = self.held.wait_for(|held| !*held) => break,
            }
            let requested = Instant::now();
            match timeout(CHECK_INTERVAL, leases.get(&self.name)).await {
                Ok(Ok(lease)) if holder(&lease) == Some(self.identity.as_str()) => confirmed = requested,
                Ok(Ok(_)) => break,
                Ok(Err(error)) => warn!(%error, "the lease cannot be read"),
                Err(_) => warn!("the API server does not answer"),
            }
        }
        LeaderError::Lost
    }
}

fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref()
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;
    use tower::service_fn;

    use super::*;

    /// A leader whose API answers with this holder of the Lease for a number of requests, and then no more.
    fn leader(holder: &'static str, answers: usize) -> (Leader, watch::Sender<bool>) {
        let requests = Arc::new(AtomicUsize::new(0));
        let api = service_fn(move |_: Request<Body>| {
            let silent = requests.fetch_add(1, Ordering::SeqCst) >= answers;
            async move {
                if silent {
                    std::future::pending::<()>().await;
                }
                let lease = json!({"metadata": {"name": "paylab"}, "spec": {"holderIdentity": holder}});
                Ok::<_, Infallible>(Response::new(Body::from(lease.to_string().into_bytes())))
            }
        });
        let (renewal, held) = watch::channel(true);
        let leader = Leader {
            client: Client::new(api, "paylab"),
            name: "paylab".to_owned(),
            namespace: "paylab".to_owned(),
            identity: "me".to_owned(),
            held,
            _renewal: tokio::spawn(std::future::pending()),
        };
        (leader, renewal)
    }

    /// How many seconds later the leader sees that it has lost.
    async fn lost_after((leader, _renewal): (Leader, watch::Sender<bool>)) -> u64 {
        let begun = Instant::now();
        let LeaderError::Lost = leader.lost().await else { panic!("it ended for another reason") };
        begun.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_the_api_does_not_confirm_ends_though_the_renewal_task_says_that_it_leads() {
        let silent_from_the_start = lost_after(leader("me", 0)).await;
        assert!((LEASE_SECS..=LEASE_SECS + 4).contains(&silent_from_the_start), "{silent_from_the_start}");
        let confirmed_ten_times = lost_after(leader("me", 10)).await;
        assert!((LEASE_SECS + 18..=LEASE_SECS + 24).contains(&confirmed_ten_times), "{confirmed_ten_times}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_ends_at_once_when_another_operator_leads() {
        assert_eq!(lost_after(leader("another", 1)).await, 0);
        let (mine, renewal) = leader("me", usize::MAX);
        renewal.send(false).unwrap();
        assert_eq!(lost_after((mine, renewal)).await, 0);
    }
}
