//! The named proxies. One change at a time; connections wait for none of them.

use std::{collections::BTreeMap, time::Duration};

use axum::http::StatusCode;
use thiserror::Error;
use tokio::{sync::Mutex, time::timeout};
use tracing::warn;

use crate::{
    toxic::definition::Toxic,
    toxic::fields::{BadBody, Fields, object, objects},
    toxic::named_proxy::{Change, Ground, NamedProxy},
};

/// Connections have so long to close at shutdown.
const LAST_LINKS: Duration = Duration::from_secs(2);

/// All proxies by name.
pub(crate) type Proxies = BTreeMap<String, NamedProxy>;

/// The proxies, and what they share.
#[derive(Debug)]
pub(crate) struct Collection {
    pub(crate) ground: Ground,
    pub(crate) proxies: Mutex<Proxies>,
}

/// Why a request is not obeyed.
#[derive(Debug, Clone, PartialEq, Error)]
pub(crate) enum Refused {
    #[error(transparent)]
    Body(#[from] BadBody),
    #[error("proxy not found")]
    NoProxy,
    #[error("proxy already exists")]
    ProxyExists,
    #[error("toxic not found")]
    NoToxic,
    #[error("{0}")]
    Listen(String),
}

/// A proxy as it is asked for.
#[derive(Debug)]
pub(crate) struct Wanted {
    name: String,
    listen: String,
    upstream: String,
    enabled: bool,
    toxics: Vec<Toxic>,
}

impl Refused {
    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Self::Body(body) => body.status(),
            Self::NoProxy | Self::NoToxic => StatusCode::NOT_FOUND,
            Self::ProxyExists => StatusCode::CONFLICT,
            Self::Listen(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl Wanted {
    fn read(fields: &Fields, place: &str) -> Result<Self, BadBody> {
        let required = |name: &str| {
            let value = fields.text(name)?.filter(|value| !value.is_empty());
            value.ok_or_else(|| BadBody::Missing(format!("{name}{place}")))
        };
        let (name, upstream) = (required("name")?, required("upstream")?);
        let mut toxics: Vec<Toxic> = Vec::new();
        for toxic in fields.objects("toxics")? {
            let toxic = Toxic::read(&toxic)?;
            if toxics.iter().any(|known| known.name == toxic.name) {
                return Err(BadBody::ToxicExists);
            }
            toxics.push(toxic);
        }
        let listen = fields.text("listen")?.unwrap_or_default();
        Ok(Self { name, listen, upstream, enabled: fields.flag("enabled")?.unwrap_or(true), toxics })
    }

    async fn make(self, ground: &Ground) -> Result<NamedProxy, Refused> {
        let mut proxy = NamedProxy::new(&self.name, self.listen, self.upstream);
        for toxic in self.toxics {
            proxy.add_toxic(toxic);
        }
        if self.enabled {
            proxy.start(ground).await.map_err(Refused::Listen)?;
        }
        Ok(proxy)
    }
}

impl Collection {
    pub(crate) fn new(ground: Ground) -> Self {
        Self { ground, proxies: Mutex::default() }
    }

    /// Makes a proxy; answers with its name.
    pub(crate) async fn create(&self, proxies: &mut Proxies, body: &[u8]) -> Result<String, Refused> {
        let mut wanted = Wanted::read(&object(body)?, "")?;
        // Toxiproxy takes none here, and its clients may send what they once read.
        wanted.toxics.clear();
        if proxies.contains_key(&wanted.name) {
            return Err(Refused::ProxyExists);
        }
        let name = wanted.name.clone();
        proxies.insert(name.clone(), wanted.make(&self.ground).await?);
        Ok(name)
    }

    /// Makes or replaces proxies; answers with the names of those that are there, and why it stopped.
    pub(crate) async fn populate(&self, proxies: &mut Proxies, body: &[u8]) -> (Vec<String>, Result<(), Refused>) {
        let mut made = Vec::new();
        let all = match wanted(body) {
            Ok(all) => all,
            Err(error) => return (made, Err(error.into())),
        };
        for wanted in all {
            let name = wanted.name.clone();
            if let Some(known) = proxies.get_mut(&name) {
                if known.is_at(&wanted.listen, &wanted.upstream).await {
                    made.push(name);
                    continue;
                }
                known.stop().await;
            }
            match wanted.make(&self.ground).await {
                Ok(proxy) => proxies.insert(name.clone(), proxy),
                Err(error) => return (made, Err(error)),
            };
            made.push(name);
        }
        (made, Ok(()))
    }

    /// Makes the proxies of a list that is not the API's; answers with where they listen.
    pub(crate) async fn load(&self, body: &[u8]) -> Result<Vec<String>, Refused> {
        let proxies = &mut *self.proxies.lock().await;
        let (names, result) = self.populate(proxies, body).await;
        result?;
        Ok(names.iter().filter_map(|name| proxies.get(name)).map(|proxy| proxy.listen.clone()).collect())
    }

    /// All proxies enabled, all toxics removed; tells what failed first.
    pub(crate) async fn reset(&self, proxies: &mut Proxies) -> Result<(), Refused> {
        let mut result = Ok(());
        for proxy in proxies.values_mut() {
            proxy.remove_toxics();
            let started = proxy.start(&self.ground).await.map_err(Refused::Listen);
            result = result.and(started);
        }
        result
    }

    /// Closes everything.
    pub(crate) async fn close(&self) {
        for proxy in self.proxies.lock().await.values_mut() {
            proxy.stop().await;
        }
        self.ground.links.close();
        if timeout(LAST_LINKS, self.ground.links.wait()).await.is_err() {
            warn!(connections = self.ground.links.len(), "stopped before these connections had closed");
        }
    }
}

/// The proxy with this name.
pub(crate) fn known<'a>(proxies: &'a mut Proxies, name: &str) -> Result<&'a mut NamedProxy, Refused> {
    proxies.get_mut(name).ok_or(Refused::NoProxy)
}

/// What an update asks for.
pub(crate) fn change(body: &[u8]) -> Result<Change, BadBody> {
    let fields = object(body)?;
    Ok(Change { listen: fields.text("listen")?, upstream: fields.text("upstream")?, enabled: fields.flag("enabled")? })
}

/// All of them are read before any is made.
pub(crate) fn wanted(body: &[u8]) -> Result<Vec<Wanted>, BadBody> {
    let all = objects(body)?;
    all.iter().enumerate().map(|(index, fields)| Wanted::read(fields, &format!(" at proxy {}", index + 1))).collect()
}
