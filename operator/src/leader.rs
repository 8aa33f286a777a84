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

    /// A leader whose API answers this about the Lease, so many times, and then never again.
    fn leader(holder: &'static str, answers: usize) -> (Leader, watch::Sender<bool>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let api = service_fn(move |_: Request<Body>| {
            let silent = asked.fetch_add(1, Ordering::SeqCst) >= answers;
            async move {
                if silent {
                    std::future::pending::<()>().await;
                }
                let lease = json!({"metadata": {"name": "paylab"}, "spec": {"holderIdentity": holder}});
                Ok::<_, Infallible>(Response::new(Body::from(lease.to_string().into_bytes())))
            }
        });
        let (keeper, held) = watch::channel(true);
        let leader = Leader {
            client: Client::new(api, "paylab"),
            name: "paylab".to_owned(),
            namespace: "paylab".to_owned(),
            identity: "me".to_owned(),
            held,
            _renewal: tokio::spawn(std::future::pending()),
        };
        (leader, keeper)
    }

    /// After how many seconds it is lost.
    async fn lost_after((leader, _keeper): (Leader, watch::Sender<bool>)) -> u64 {
        let begun = Instant::now();
        let LeaderError::Lost = leader.lost().await else { panic!("it ends for another reason") };
        begun.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_the_api_does_not_confirm_ends_by_itself_though_its_keeper_says_nothing() {
        let silent_from_the_start = lost_after(leader("me", 0)).await;
        assert!((LEASE_SECS..=LEASE_SECS + 4).contains(&silent_from_the_start), "{silent_from_the_start}");
        let confirmed_ten_times = lost_after(leader("me", 10)).await;
        assert!((LEASE_SECS + 18..=LEASE_SECS + 24).contains(&confirmed_ten_times), "{confirmed_ten_times}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_ends_at_once_when_another_one_leads() {
        assert_eq!(lost_after(leader("another", 1)).await, 0);
        let (mine, keeper) = leader("me", usize::MAX);
        keeper.send(false).unwrap();
        assert_eq!(lost_after((mine, keeper)).await, 0);
    }
}
