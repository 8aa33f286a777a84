//! A lab with named proxies, which the test creates and changes over the API as any client would.

use std::{
    net::SocketAddr,
    ops::Deref,
    time::{Duration, Instant},
};

use reset_proxy::options::Options;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::support::{Lab, Peer, loopback, own_loopback, soon};

/// A lab with named proxies.
pub(crate) struct ToxicLab(Lab);

impl Deref for ToxicLab {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        &self.0
    }
}

impl ToxicLab {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Options)) -> Self {
        Self(Lab::start_with(change).await)
    }

    /// Ends the proxy as a signal would.
    pub(crate) async fn stop(&mut self) {
        self.0.shutdown.cancel();
        soon("the end", &mut self.0.serving).await.expect("no panic").expect("a clean end");
    }

    pub(crate) async fn seeded(seed: u64) -> Self {
        Self::start_with(|options| options.toxiproxy.seed = Some(seed)).await
    }

    /// Sends a request to the API. Returns its status and its body, null if there is none.
    pub(crate) async fn api(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.api_text(method, path, &body).await
    }

    pub(crate) async fn api_text(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let (status, text) = self.control(method, path, body).await;
        (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or(json!(text)) })
    }

    /// Sends a request that must be accepted and returns its body.
    pub(crate) async fn accepted(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.api(method, path, body).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// Creates a proxy to the service of the lab. Returns the address at which it listens.
    pub(crate) async fn proxy(&self, name: &str) -> SocketAddr {
        self.proxy_to(name, self.upstream()).await
    }

    pub(crate) async fn proxy_to(&self, name: &str, upstream: SocketAddr) -> SocketAddr {
        let body = json!({"name": name, "listen": "127.0.0.1:0", "upstream": upstream});
        address(&self.accepted("POST", "/proxies", body).await)
    }

    /// Creates a proxy that a test closes. While it is closed anybody may take its port, so it listens at an address of its own.
    pub(crate) async fn proxy_that_closes(&self, name: &str, last: u8) -> SocketAddr {
        let body = json!({"name": name, "listen": own_loopback(last), "upstream": self.upstream()});
        address(&self.accepted("POST", "/proxies", body).await)
    }

    /// Creates the proxy `p` with these toxics.
    pub(crate) async fn proxy_with(&self, toxics: impl IntoIterator<Item = Value>) -> SocketAddr {
        let address = self.proxy("p").await;
        for toxic in toxics {
            self.add(toxic).await;
        }
        address
    }

    /// Adds a toxic to the proxy `p`.
    pub(crate) async fn add(&self, toxic: Value) -> Value {
        self.accepted("POST", "/proxies/p/toxics", toxic).await
    }

    pub(crate) async fn change(&self, toxic: &str, body: Value) -> Value {
        self.accepted("POST", &format!("/proxies/p/toxics/{toxic}"), body).await
    }

    pub(crate) async fn remove(&self, toxic: &str) {
        self.accepted("DELETE", &format!("/proxies/p/toxics/{toxic}"), Value::Null).await;
    }

    /// Opens a connection through a proxy. Returns both ends.
    pub(crate) async fn connection(&self, address: SocketAddr) -> (Peer, Peer) {
        let client = connect(address).await;
        (client, self.service().await)
    }

    /// The value of a metric, summed over all label sets that contain `label`.
    pub(crate) async fn metric(&self, name: &str, label: &str) -> u64 {
        let (_, text) = self.control("GET", "/metrics", "").await;
        let lines = text.lines().filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(label));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// Waits until a metric has a value.
    pub(crate) async fn until_metric(&self, name: &str, label: &str, wanted: u64) {
        let wait = async { while self.metric(name, label).await != wanted {} };
        soon(&format!("{name} {label} {wanted}"), wait).await;
    }
}

pub(crate) async fn connect(address: SocketAddr) -> Peer {
    Peer(soon("a connection", TcpStream::connect(address)).await.expect("the proxy listens"))
}

/// A listener to which the next connection takes a second: its queue of length 0 holds one connection, so the kernel drops
/// the SYN of another one, which is then sent again.
pub(crate) async fn busy_listener() -> (TcpListener, Peer) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(loopback()).expect("a free port");
    let listener = socket.listen(0).expect("a listener");
    let filler = connect(listener.local_addr().expect("bound")).await;
    (listener, filler)
}

pub(crate) fn address(proxy: &Value) -> SocketAddr {
    proxy["listen"].as_str().expect("an address").parse().expect("an address")
}

pub(crate) fn toxic(kind: &str, stream: &str, attributes: Value) -> Value {
    json!({"type": kind, "stream": stream, "attributes": attributes})
}

/// Each peer sends something to the other, which arrives.
pub(crate) async fn talk(client: &mut Peer, service: &mut Peer) {
    client.send("ping").await;
    service.expect("ping").await;
    service.send("pong").await;
    client.expect("pong").await;
}

/// Asserts that a future takes at least this many milliseconds, and at most five seconds more.
pub(crate) async fn takes<T>(ms: u64, future: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let value = future.await;
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(ms), "only {took:?}, not {ms} ms");
    assert!(took < Duration::from_millis(ms + 5_000), "{took:?}, not {ms} ms");
    value
}
