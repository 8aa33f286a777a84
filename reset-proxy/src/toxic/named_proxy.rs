//! A named proxy of the Toxiproxy plane: where it listens, where it leads, and the toxics on its connections.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use paylab_part::listen::listen;
use serde::Serialize;
use tokio::{
    net::{TcpListener, TcpStream, lookup_host},
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::{debug, info, warn};

use crate::{
    fault::counters::count,
    fault::listener::ACCEPT_PAUSE,
    metrics::Traffic,
    toxic::chain::Lot,
    toxic::definition::Toxic,
    toxic::session::{Link, Toxics},
    transport::endings::close,
    transport::upstream::Upstream,
};

/// A name to listen at is resolved within this.
const LOOKUP: Duration = Duration::from_secs(5);

/// What all named proxies share.
#[derive(Debug, Clone)]
pub(crate) struct Ground {
    pub(crate) seed: u64,
    /// Of each proxy.
    pub(crate) connections_max: u32,
    pub(crate) dial_timeout: Duration,
    /// All connections of all of them.
    pub(crate) links: TaskTracker,
}

/// A proxy as the API shows it.
#[derive(Debug, Serialize)]
pub(crate) struct NamedProxy {
    pub(crate) name: Arc<str>,
    pub(crate) listen: String,
    pub(crate) upstream: String,
    #[serde(rename = "enabled", serialize_with = "whether_running")]
    running: Option<Running>,
    pub(crate) toxics: Vec<Arc<Toxic>>,
    #[serde(skip)]
    pub(crate) traffic: Arc<Traffic>,
    #[serde(skip)]
    toxics_made: u64,
}

/// A proxy that accepts connections. When it is dropped, they are closed.
#[derive(Debug)]
struct Running {
    /// Its end is the connections' end.
    toxics: watch::Sender<Toxics>,
    accepting: AbortOnDropHandle<()>,
}

/// One connection, to be dialled: it counts as open until this is dropped.
#[derive(Debug)]
struct Admission(Arc<Traffic>);

impl NamedProxy {
    /// A proxy that does not listen yet.
    pub(crate) fn new(name: &str, listen: String, upstream: String) -> Self {
        let traffic = Arc::default();
        Self { name: name.into(), listen, upstream, running: None, toxics: Vec::new(), traffic, toxics_made: 0 }
    }

    pub(crate) const fn is_enabled(&self) -> bool {
        self.running.is_some()
    }

    /// Listens, if it does not yet.
    ///
    /// # Errors
    /// The address cannot be listened at: what Go's `net.Listen` would say.
    pub(crate) async fn start(&mut self, ground: &Ground) -> Result<(), String> {
        if self.is_enabled() {
            return Ok(());
        }
        let (listener, address) = bind(&self.listen).await?;
        self.listen = address.to_string();
        let (toxics, watching) = watch::channel(self.toxics.as_slice().into());
        let lot = Lot { seed: ground.seed, proxy: Arc::clone(&self.name), connection: 0 };
        let upstream = Arc::new(Upstream::new(dialled(&self.upstream), ground.dial_timeout));
        let door = Door { lot, upstream, traffic: Arc::clone(&self.traffic), toxics: watching };
        let accepting = tokio::spawn(accept(listener, door, ground.clone()));
        self.running = Some(Running { toxics, accepting: AbortOnDropHandle::new(accepting) });
        info!(proxy = %self.name, listen = %self.listen, upstream = %self.upstream, "proxy started");
        Ok(())
    }

    /// Closes its connections, and its listener before it returns.
    pub(crate) async fn stop(&mut self) {
        if let Some(Running { toxics, accepting }) = self.running.take() {
            drop(toxics);
            accepting.abort();
            // It was told to stop, so that is how it ends.
            let _ = accepting.await;
            info!(proxy = %self.name, "proxy stopped");
        }
    }

    /// Changes where it listens and leads. Nothing happens to its connections when nothing changes.
    ///
    /// # Errors
    /// It cannot listen; it is stopped then.
    pub(crate) async fn update(&mut self, change: Change, ground: &Ground) -> Result<(), String> {
        let enabled = change.enabled.unwrap_or(self.is_enabled());
        let listen = change.listen.unwrap_or_else(|| self.listen.clone());
        let upstream = change.upstream.unwrap_or_else(|| self.upstream.clone());
        if !self.is_at(&listen, &upstream).await {
            self.stop().await;
            (self.listen, self.upstream) = (listen, upstream);
        }
        if enabled {
            self.start(ground).await
        } else {
            self.stop().await;
            Ok(())
        }
    }

    /// Whether it listens and leads there already.
    pub(crate) async fn is_at(&self, listen: &str, upstream: &str) -> bool {
        if self.upstream != upstream {
            return false;
        }
        let meant = |addresses: Vec<SocketAddr>| addresses.iter().any(|address| address.to_string() == self.listen);
        self.listen == listen || addresses(listen).await.is_ok_and(meant)
    }

    pub(crate) fn toxic(&self, name: &str) -> Option<&Arc<Toxic>> {
        self.toxics.iter().find(|toxic| toxic.name == name)
    }

    /// Adds a toxic behind the others of its stream, on live connections too.
    pub(crate) fn add_toxic(&mut self, mut toxic: Toxic) -> Arc<Toxic> {
        self.toxics_made += 1;
        toxic.id = self.toxics_made;
        let toxic = Arc::new(toxic);
        self.toxics.push(Arc::clone(&toxic));
        // Upstream first, each in the order of its making.
        self.toxics.sort_by_key(|toxic| (toxic.stream as u8, toxic.id));
        self.tell_connections();
        toxic
    }

    pub(crate) fn replace_toxic(&mut self, toxic: Toxic) -> Arc<Toxic> {
        let toxic = Arc::new(toxic);
        for known in &mut self.toxics {
            if known.id == toxic.id {
                *known = Arc::clone(&toxic);
            }
        }
        self.tell_connections();
        toxic
    }

    pub(crate) fn remove_toxic(&mut self, name: &str) {
        self.toxics.retain(|toxic| toxic.name != name);
        self.tell_connections();
    }

    pub(crate) fn remove_toxics(&mut self) {
        self.toxics.clear();
        self.tell_connections();
    }

    fn tell_connections(&self) {
        if let Some(Running { toxics, accepting: _ }) = &self.running {
            toxics.send_replace(self.toxics.as_slice().into());
        }
    }
}

/// What an update tells; what it does not tell stays.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub(crate) listen: Option<String>,
    pub(crate) upstream: Option<String>,
    pub(crate) enabled: Option<bool>,
}

/// What each new connection is given.
#[derive(Debug, Clone)]
struct Door {
    lot: Lot,
    upstream: Arc<Upstream>,
    traffic: Arc<Traffic>,
    toxics: watch::Receiver<Toxics>,
}

async fn accept(listener: TcpListener, door: Door, ground: Ground) {
    let room = Arc::new(Semaphore::new(ground.connections_max as usize));
    loop {
        // The semaphore is never closed, so there is always room at some time.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((client, address)) => {
                let mut door = door.clone();
                door.lot.connection = door.traffic.connections.fetch_add(1, Ordering::Relaxed);
                debug!(proxy = %door.lot.proxy, client = %address, connection = door.lot.connection, "accepted");
                ground.links.spawn(async move {
                    let _permit = permit;
                    connect(client, door).await;
                });
            }
            Err(error) => {
                warn!(proxy = %door.lot.proxy, %error, "could not accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connect(client: TcpStream, door: Door) {
    let Door { lot, upstream, traffic, mut toxics } = door;
    let _admission = Admission(Arc::clone(&traffic));
    let dialled = tokio::select! {
        biased;
        dialled = upstream.dial() => dialled,
        () = closed(&mut toxics) => return close(client).await,
    };
    match dialled {
        Ok(service) => Link::new(client, service, &lot, traffic).run(toxics).await,
        Err(error) => {
            count(&traffic.upstream_unreachable);
            warn!(proxy = %lot.proxy, %error, "could not reach the upstream");
            close(client).await;
        }
    }
}

/// Waits until the proxy is stopped, and leaves it to others to see the toxics.
async fn closed(toxics: &mut watch::Receiver<Toxics>) {
    let mut watching = toxics.clone();
    while watching.changed().await.is_ok() {}
}

async fn bind(listen_at: &str) -> Result<(TcpListener, SocketAddr), String> {
    let mut failure = String::new();
    for address in addresses(listen_at).await? {
        match listen(address).and_then(|listener| Ok((listener.local_addr()?, listener))) {
            Ok((address, listener)) => return Ok((listener, address)),
            Err(error) => failure = format!("listen tcp {address}: bind: {}", reason(&error)),
        }
    }
    Err(failure)
}

/// Which addresses are meant: those of the first family that can be had.
pub(crate) async fn addresses(listen: &str) -> Result<Vec<SocketAddr>, String> {
    let text = if listen.is_empty() { ":0" } else { listen };
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(format!("listen tcp: address {listen}: missing port in address"));
    };
    let Ok(port) = (if port.is_empty() { Ok(0) } else { port.parse::<u16>() }) else {
        return Err(format!("listen tcp: address {port}: invalid port"));
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        let any = [IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
        return Ok(any.map(|ip| SocketAddr::new(ip, port)).into());
    }
    if host == "localhost" {
        return Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))]);
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    match timeout(LOOKUP, lookup_host((host, port))).await {
        Ok(Ok(addresses)) => Ok(addresses.collect()),
        Ok(Err(_)) | Err(_) => Err(format!("listen tcp: lookup {host}: no such host")),
    }
}

/// What Go calls the error.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "address already in use".to_owned(),
        io::ErrorKind::AddrNotAvailable => "cannot assign requested address".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// An upstream without a host is on this machine.
fn dialled(upstream: &str) -> String {
    if upstream.starts_with(':') { format!("localhost{upstream}") } else { upstream.to_owned() }
}

#[expect(clippy::ref_option, reason = "serde wants a reference to the field")]
fn whether_running<S: serde::Serializer>(running: &Option<Running>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(running.is_some())
}

impl Drop for Admission {
    fn drop(&mut self) {
        count(&self.0.connections_ended);
    }
}
