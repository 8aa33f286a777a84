//! What all connections of the fault plane share.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use paylab_part::{drain::DrainTracker, tls::TlsDialer};
use tokio::time::timeout;

use crate::{
    fault::{counters::Counters, rules::RuleBook, service_life::ServiceLife},
    http::head::HeadLimits,
    options::Options,
    transport::{service_stream::ServiceStream, upstream::Upstream},
};

/// The rules, the counters, the requests in flight, and the service.
#[derive(Debug)]
pub(crate) struct FaultPlane {
    pub(crate) rules: RuleBook,
    pub(crate) counters: Counters,
    /// The requests in flight.
    pub(crate) in_flight: DrainTracker,
    /// The lives of the service.
    pub(crate) service_life: ServiceLife,
    /// The replicas of the service, at least one.
    upstreams: Vec<Upstream>,
    /// How often the service was dialled.
    dialled: AtomicUsize,
    /// `None`: the service speaks plain HTTP.
    tls: Option<TlsDialer>,
    dial_timeout: Duration,
    /// How large the head of a message may be.
    pub(crate) head_limits: HeadLimits,
    /// How long a client may be silent before the service is dialled, in case it speaks first.
    pub(crate) service_first_after: Duration,
    /// Whether clients of an experiment are served at all; otherwise only named proxies are.
    pub(crate) serves_clients: bool,
}

impl FaultPlane {
    pub(crate) fn new(options: &Options, tls: Option<TlsDialer>) -> Self {
        let authorities = std::iter::once(options.upstream()).chain(options.replicas.iter().cloned());
        let upstreams =
            authorities.map(|authority| Upstream::new(authority.to_string(), options.dial_timeout.duration()));
        Self {
            rules: RuleBook::default(),
            counters: Counters::default(),
            in_flight: DrainTracker::default(),
            service_life: ServiceLife::new(options),
            head_limits: options.head_limits(),
            service_first_after: options.service_first_after(),
            serves_clients: options.listen().is_some(),
            upstreams: upstreams.collect(),
            dialled: AtomicUsize::new(0),
            tls,
            dial_timeout: options.dial_timeout.duration(),
        }
    }

    /// Opens a connection to the service, each to the next of its replicas.
    pub(crate) async fn dial(&self) -> io::Result<ServiceStream> {
        let nth = self.dialled.fetch_add(1, Ordering::Relaxed);
        let upstream = self.upstreams.get(nth % self.upstreams.len()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        let socket = upstream.dial().await?;
        let Some(tls) = &self.tls else { return Ok(ServiceStream::Plain(socket)) };
        let handshake = timeout(self.dial_timeout, tls.handshake(socket)).await;
        Ok(ServiceStream::Tls(Box::new(handshake.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??)))
    }
}
