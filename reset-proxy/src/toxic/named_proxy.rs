//! A named proxy: where it listens, where it leads, and the toxics on its connections.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tracing::info;

use crate::{
    toxic::{
        acceptor::{ConnectionContext, ProxyShared, serve},
        definition::Toxic,
        sampler::RandomKey,
        session::Toxics,
        traffic::Traffic,
    },
    transport::{
        listen_address::{bind, resolve},
        upstream::Upstream,
    },
};

/// A proxy as the API shows it.
#[derive(Debug, Serialize)]
pub(crate) struct NamedProxy {
    pub(crate) name: Arc<str>,
    pub(crate) listen: String,
    pub(crate) upstream: String,
    #[serde(rename = "enabled", serialize_with = "is_running")]
    running: Option<RunningProxy>,
    pub(crate) toxics: Vec<Arc<Toxic>>,
    #[serde(skip)]
    pub(crate) traffic: Arc<Traffic>,
    #[serde(skip)]
    toxics_created: u64,
}

/// A proxy that accepts connections. Dropping it closes them.
#[derive(Debug)]
struct RunningProxy {
    /// The connections end when this is dropped.
    toxics: watch::Sender<Toxics>,
    accepting: AbortOnDropHandle<()>,
}

/// What an update changes; a field that is absent stays as it is.
#[derive(Debug, Default)]
pub(crate) struct ProxyUpdate {
    pub(crate) listen: Option<String>,
    pub(crate) upstream: Option<String>,
    pub(crate) enabled: Option<bool>,
}

impl NamedProxy {
    /// Creates a proxy that does not listen yet.
    pub(crate) fn new(name: &str, listen: String, upstream: String) -> Self {
        let traffic = Arc::default();
        Self { name: name.into(), listen, upstream, running: None, toxics: Vec::new(), traffic, toxics_created: 0 }
    }

    pub(crate) const fn is_enabled(&self) -> bool {
        self.running.is_some()
    }

    /// Listens, if it does not yet.
    ///
    /// # Errors
    /// It cannot listen at the address; the text is that of Go's `net.Listen`.
    pub(crate) async fn start(&mut self, shared: &ProxyShared) -> Result<(), String> {
        if self.is_enabled() {
            return Ok(());
        }
        let (listener, address) = bind(&self.listen).await?;
        self.listen = address.to_string();
        let (toxics, watching) = watch::channel(self.toxics.as_slice().into());
        let key = RandomKey { seed: shared.seed, proxy: Arc::clone(&self.name), connection: 0 };
        let upstream = Arc::new(Upstream::new(dial_address(&self.upstream), shared.dial_timeout));
        let context = ConnectionContext { key, upstream, traffic: Arc::clone(&self.traffic), toxics: watching };
        let accepting = tokio::spawn(serve(listener, context, shared.clone()));
        self.running = Some(RunningProxy { toxics, accepting: AbortOnDropHandle::new(accepting) });
        info!(proxy = %self.name, listen = %self.listen, upstream = %self.upstream, "proxy started");
        Ok(())
    }

    /// Closes its connections, and its listener before this returns.
    pub(crate) async fn stop(&mut self) {
        if let Some(RunningProxy { toxics, accepting }) = self.running.take() {
            drop(toxics);
            accepting.abort();
            // The task was aborted, so its result is an error.
            let _ = accepting.await;
            info!(proxy = %self.name, "proxy stopped");
        }
    }

    /// Changes where it listens and leads. An update that changes nothing leaves its connections alone.
    ///
    /// # Errors
    /// It cannot listen; it is stopped then.
    pub(crate) async fn update(&mut self, update: ProxyUpdate, shared: &ProxyShared) -> Result<(), String> {
        let enabled = update.enabled.unwrap_or(self.is_enabled());
        let listen = update.listen.unwrap_or_else(|| self.listen.clone());
        let upstream = update.upstream.unwrap_or_else(|| self.upstream.clone());
        if !self.is_at(&listen, &upstream).await {
            self.stop().await;
            (self.listen, self.upstream) = (listen, upstream);
        }
        if enabled {
            self.start(shared).await
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
        if self.listen == listen {
            return true;
        }
        let resolved = resolve(listen).await.unwrap_or_default();
        resolved.iter().any(|address| address.to_string() == self.listen)
    }

    pub(crate) fn toxic(&self, name: &str) -> Option<&Arc<Toxic>> {
        self.toxics.iter().find(|toxic| toxic.name == name)
    }

    /// Adds a toxic after the others of its stream, on open connections too.
    pub(crate) fn add_toxic(&mut self, mut toxic: Toxic) -> Arc<Toxic> {
        self.toxics_created += 1;
        toxic.id = self.toxics_created;
        let toxic = Arc::new(toxic);
        self.toxics.push(Arc::clone(&toxic));
        // Upstream first, each stream in the order of creation.
        self.toxics.sort_by_key(|toxic| (toxic.stream as u8, toxic.id));
        self.publish_toxics();
        toxic
    }

    pub(crate) fn replace_toxic(&mut self, toxic: Toxic) -> Arc<Toxic> {
        let toxic = Arc::new(toxic);
        for known in &mut self.toxics {
            if known.id == toxic.id {
                *known = Arc::clone(&toxic);
            }
        }
        self.publish_toxics();
        toxic
    }

    pub(crate) fn remove_toxic(&mut self, name: &str) {
        self.toxics.retain(|toxic| toxic.name != name);
        self.publish_toxics();
    }

    pub(crate) fn remove_toxics(&mut self) {
        self.toxics.clear();
        self.publish_toxics();
    }

    fn publish_toxics(&self) {
        if let Some(RunningProxy { toxics, accepting: _ }) = &self.running {
            toxics.send_replace(self.toxics.as_slice().into());
        }
    }
}

/// Where to dial: an upstream without a host is on this machine.
fn dial_address(upstream: &str) -> String {
    if upstream.starts_with(':') { format!("localhost{upstream}") } else { upstream.to_owned() }
}

#[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
fn is_running<S: serde::Serializer>(running: &Option<RunningProxy>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(running.is_some())
}
