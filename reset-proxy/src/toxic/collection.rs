//! The named proxies. Changes are made one at a time; connections never wait for a change.

use std::{collections::BTreeMap, time::Duration};

use axum::http::StatusCode;
use thiserror::Error;
use tokio::{sync::Mutex, time::timeout};
use tracing::warn;

use crate::toxic::{
    acceptor::ProxyShared,
    definition::Toxic,
    fields::{BodyError, Fields, object, objects},
    named_proxy::{NamedProxy, ProxyUpdate},
};

/// How long connections may take to close at shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// All proxies by name.
pub(crate) type Proxies = BTreeMap<String, NamedProxy>;

/// The proxies and what they share.
#[derive(Debug)]
pub(crate) struct Collection {
    pub(crate) shared: ProxyShared,
    pub(crate) proxies: Mutex<Proxies>,
}

/// Why a request of the API fails.
#[derive(Debug, Clone, PartialEq, Error)]
pub(crate) enum ApiError {
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("proxy not found")]
    NoProxy,
    #[error("proxy already exists")]
    ProxyExists,
    #[error("toxic not found")]
    NoToxic,
    #[error("{0}")]
    Listen(String),
}

/// A proxy as a request defines it.
#[derive(Debug)]
pub(crate) struct ProxyDefinition {
    name: String,
    listen: String,
    upstream: String,
    enabled: bool,
    toxics: Vec<Toxic>,
}

impl ApiError {
    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Self::Body(body) => body.status(),
            Self::NoProxy | Self::NoToxic => StatusCode::NOT_FOUND,
            Self::ProxyExists => StatusCode::CONFLICT,
            Self::Listen(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl ProxyDefinition {
    fn read(fields: &Fields, position: &str) -> Result<Self, BodyError> {
        let required = |name: &str| {
            let value = fields.text(name)?.filter(|value| !value.is_empty());
            value.ok_or_else(|| BodyError::Missing(format!("{name}{position}")))
        };
        let (name, upstream) = (required("name")?, required("upstream")?);
        let mut toxics: Vec<Toxic> = Vec::new();
        for toxic in fields.objects("toxics")? {
            let toxic = Toxic::read(&toxic)?;
            if toxics.iter().any(|known| known.name == toxic.name) {
                return Err(BodyError::ToxicExists);
            }
            toxics.push(toxic);
        }
        let listen = fields.text("listen")?.unwrap_or_default();
        Ok(Self { name, listen, upstream, enabled: fields.flag("enabled")?.unwrap_or(true), toxics })
    }

    async fn create(self, shared: &ProxyShared) -> Result<NamedProxy, ApiError> {
        let mut proxy = NamedProxy::new(&self.name, self.listen, self.upstream);
        for toxic in self.toxics {
            proxy.add_toxic(toxic);
        }
        if self.enabled {
            proxy.start(shared).await.map_err(ApiError::Listen)?;
        }
        Ok(proxy)
    }
}

impl Collection {
    pub(crate) fn new(shared: ProxyShared) -> Self {
        Self { shared, proxies: Mutex::default() }
    }

    /// Creates a proxy and returns its name.
    pub(crate) async fn create(&self, proxies: &mut Proxies, body: &[u8]) -> Result<String, ApiError> {
        let mut definition = ProxyDefinition::read(&object(body)?, "")?;
        // Toxiproxy ignores toxics here, and its clients may send back a proxy that they have read.
        definition.toxics.clear();
        if proxies.contains_key(&definition.name) {
            return Err(ApiError::ProxyExists);
        }
        let name = definition.name.clone();
        proxies.insert(name.clone(), definition.create(&self.shared).await?);
        Ok(name)
    }

    /// Creates or replaces proxies. Returns the names of those that exist now, and the error at which it stopped.
    pub(crate) async fn populate(&self, proxies: &mut Proxies, body: &[u8]) -> (Vec<String>, Result<(), ApiError>) {
        let mut created = Vec::new();
        let definitions = match definitions(body) {
            Ok(definitions) => definitions,
            Err(error) => return (created, Err(error.into())),
        };
        for definition in definitions {
            let name = definition.name.clone();
            if let Some(known) = proxies.get_mut(&name) {
                if known.is_at(&definition.listen, &definition.upstream).await {
                    created.push(name);
                    continue;
                }
                known.stop().await;
            }
            match definition.create(&self.shared).await {
                Ok(proxy) => proxies.insert(name.clone(), proxy),
                Err(error) => return (created, Err(error)),
            };
            created.push(name);
        }
        (created, Ok(()))
    }

    /// Creates the proxies of a list that does not come from the API. Returns the addresses at which they listen.
    pub(crate) async fn load(&self, body: &[u8]) -> Result<Vec<String>, ApiError> {
        let proxies = &mut *self.proxies.lock().await;
        let (names, result) = self.populate(proxies, body).await;
        result?;
        Ok(names.iter().filter_map(|name| proxies.get(name)).map(|proxy| proxy.listen.clone()).collect())
    }

    /// Enables all proxies and removes all toxics. Returns the first error.
    pub(crate) async fn reset(&self, proxies: &mut Proxies) -> Result<(), ApiError> {
        let mut result = Ok(());
        for proxy in proxies.values_mut() {
            proxy.remove_toxics();
            let started = proxy.start(&self.shared).await.map_err(ApiError::Listen);
            result = result.and(started);
        }
        result
    }

    /// Stops all proxies and waits for their connections to close.
    pub(crate) async fn close(&self) {
        for proxy in self.proxies.lock().await.values_mut() {
            proxy.stop().await;
        }
        self.shared.sessions.close();
        if timeout(SHUTDOWN_TIMEOUT, self.shared.sessions.wait()).await.is_err() {
            warn!(connections = self.shared.sessions.len(), "stopped before these connections had closed");
        }
    }
}

/// The proxy with this name.
pub(crate) fn known<'a>(proxies: &'a mut Proxies, name: &str) -> Result<&'a mut NamedProxy, ApiError> {
    proxies.get_mut(name).ok_or(ApiError::NoProxy)
}

/// Reads an update of a proxy.
pub(crate) fn update(body: &[u8]) -> Result<ProxyUpdate, BodyError> {
    let fields = object(body)?;
    Ok(ProxyUpdate {
        listen: fields.text("listen")?,
        upstream: fields.text("upstream")?,
        enabled: fields.flag("enabled")?,
    })
}

/// Reads a list of proxies. All of them are read before any is created.
pub(crate) fn definitions(body: &[u8]) -> Result<Vec<ProxyDefinition>, BodyError> {
    let all = objects(body)?;
    all.iter()
        .enumerate()
        .map(|(index, fields)| ProxyDefinition::read(fields, &format!(" at proxy {}", index + 1)))
        .collect()
}
