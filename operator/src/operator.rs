//! The process of `paylab operator`: the controller together with leader election and the server for health and metrics.

use std::sync::Arc;

use futures::future::BoxFuture;
use kube::Client;
use paylab_part::listen::listen;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    cluster,
    controller::control,
    error::Error,
    leader,
    options::Options,
    serve::{self, Health, Metrics},
};

/// Reconciles experiments and serves health and metrics until it is cancelled.
///
/// # Errors
/// The cluster cannot be reached, the address cannot be bound, or this operator lost the Lease.
// Boxed: it is then compiled once, with this crate, and not with every binary and test that calls it.
pub fn run(options: Options, shutdown: CancellationToken) -> BoxFuture<'static, Result<(), Error>> {
    Box::pin(async move {
        let client = cluster::client(None).await?;
        let unbound = |source| Error::Listen { address: options.listen, source };
        let listener = listen(options.listen).map_err(unbound)?;
        let address = listener.local_addr().map_err(unbound)?;
        let (metrics, health) = (Arc::new(Metrics::new()), Arc::<Health>::default());
        let server = serve::serve(listener, Arc::clone(&health), Arc::clone(&metrics), shutdown.clone());
        info!(%address, image = options.image, namespace = options.watch_namespace, "operator ready");
        let ended = tokio::select! {
            served = server => served.map_err(unbound),
            controlled = lead_and_control(client, &options, &metrics, &health, &shutdown) => controlled,
        };
        info!("operator stopped");
        ended
    })
}

async fn lead_and_control(
    client: Client,
    options: &Options,
    metrics: &Arc<Metrics>,
    health: &Health,
    shutdown: &CancellationToken,
) -> Result<(), Error> {
    let leader = tokio::select! {
        leader = leader::lead(&client, &options.leadership) => leader?,
        () = shutdown.cancelled() => return Ok(()),
    };
    metrics.record_leadership();
    let controlled = control(client, options, metrics, health, shutdown);
    match leader {
        None => controlled.await,
        Some(leader) => tokio::select! {
            controlled = controlled => controlled,
            lost = leader.lost() => Err(lost.into()),
        },
    }
}
