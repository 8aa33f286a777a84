//! A proxy between a client and a service that the test plays itself, on real sockets. Every wait is bounded.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{future::Future, io, net::SocketAddr, time::Duration};

use paylab_core::{
    duration_text::DurationText,
    fault::{effect::Effect, point::Point, reset::Reset, spec::FaultSpec},
    witness::{
        record::{RecordFooter, RecordItem, RecordLine},
        seal::Sealer,
    },
};
use paylab_part::contract::{COUNTERS_PATH, DRAIN_PATH, ProxyCounters, RECORD_PATH, RULES_PATH, Rules};
use rand::{RngExt, rngs::SmallRng};
use reset_proxy::{ResetProxy, options::Options};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

const TEST_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a test watches a connection on which nothing may happen.
const QUIET_TIME: Duration = Duration::from_millis(100);
pub(crate) const SEED: u64 = 42;
/// The longest lease. Nobody renews it, and on a starved machine a test takes minutes; behind its end no fault would take effect, and the
/// test would wait for a reset that never comes.
pub(crate) const LEASE_MS: u64 = 3_600_000;

/// Awaits something that must happen soon.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(TEST_TIMEOUT, future).await.unwrap_or_else(|_| panic!("{what} did not come within {TEST_TIMEOUT:?}"))
}

/// Sends bytes in random pieces. An error is that of a connection that a fault or the other side has ended.
pub(crate) async fn send_in_pieces(
    writer: &mut (impl AsyncWrite + Unpin),
    mut bytes: &[u8],
    random: &mut SmallRng,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at(random.random_range(1..=bytes.len()));
        writer.write_all(piece).await?;
        bytes = rest;
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// One end of a connection, played by the test.
pub(crate) struct Peer(pub(crate) TcpStream);

/// How a peer sees its connection end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Eof,
    Reset,
}

impl Peer {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon("a write", self.0.write_all(bytes.as_ref())).await.expect("the peer takes what it is sent");
    }

    /// Reads exactly these bytes.
    pub(crate) async fn expect(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let mut seen = vec![0; bytes.len()];
        let mut count = 0;
        while count < seen.len() {
            match soon("bytes", self.0.read(&mut seen[count..])).await {
                Ok(0) => break,
                Ok(more) => count += more,
                Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&seen[..count])),
            }
        }
        assert_eq!(String::from_utf8_lossy(&seen[..count]), String::from_utf8_lossy(bytes));
    }

    /// Reads so many bytes.
    pub(crate) async fn take(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        soon("bytes", self.0.read_exact(&mut bytes)).await.expect("they come");
        bytes
    }

    /// Reads to the end.
    pub(crate) async fn rest(&mut self) -> (Vec<u8>, Ending) {
        let mut bytes = Vec::new();
        match soon("the end", self.0.read_to_end(&mut bytes)).await {
            Ok(_) => (bytes, Ending::Eof),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => (bytes, Ending::Reset),
            Err(error) => panic!("{error}"),
        }
    }

    /// Reads to the end and asserts that no byte comes before it.
    pub(crate) async fn ends_with(&mut self, ending: Ending) {
        let (bytes, seen) = self.rest().await;
        assert_eq!((String::from_utf8_lossy(&bytes).as_ref(), seen), ("", ending));
    }

    /// The response of the control port: its status and its body.
    pub(crate) async fn response(&mut self) -> (u16, String) {
        let (bytes, _) = self.rest().await;
        let text = String::from_utf8(bytes).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, body.to_owned())
    }

    /// The next byte. `None` when the connection is reset instead.
    pub(crate) async fn next_byte(&mut self) -> Option<u8> {
        match soon("a byte", self.0.read_u8()).await {
            Ok(byte) => Some(byte),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Asserts that neither bytes nor an end come for a while.
    pub(crate) async fn sees_nothing(&mut self) {
        let mut byte = [0];
        if let Ok(seen) = timeout(QUIET_TIME, self.0.peek(&mut byte)).await {
            panic!("{seen:?} where nothing was expected");
        }
    }

    pub(crate) async fn half_close(&mut self) {
        self.0.shutdown().await.expect("a peer can end its side");
    }

    pub(crate) fn reset(self) {
        self.0.set_zero_linger().expect("a socket can be reset");
    }
}

/// A proxy that serves.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) control: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) serving: JoinHandle<Result<(), reset_proxy::Error>>,
}

/// The proxy, its clients and its service.
pub(crate) struct Lab {
    pub(crate) address: SocketAddr,
    pub(crate) control: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) serving: JoinHandle<Result<(), reset_proxy::Error>>,
    listener: TcpListener,
    /// The same socket for a check without the runtime.
    dial_probe: std::net::TcpListener,
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub(crate) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// An address of this machine that no other test and no connection is given, whose port may thus be free for a while: `last` is
/// different in each such test.
pub(crate) fn own_loopback(last: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, last], 0))
}

/// An address that refuses every connection. As long as the socket is kept, nobody else is given its port.
pub(crate) fn refusing() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(loopback()).expect("a free port");
    let address = socket.local_addr().expect("bound");
    (socket, address)
}

pub(crate) fn options(upstream: SocketAddr) -> Options {
    Options {
        listen: Some(loopback()),
        control: Some(loopback()),
        upstream: Some(upstream.into()),
        connections_max: 64,
        dial_timeout: DurationText::from_ms(5_000),
        // On a busy machine a client may be silent for a while that only seems to wait for the service.
        service_first_after: Some(DurationText::from_ms(60_000)),
        ..Options::default()
    }
}

impl Lab {
    /// A proxy without rules.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Options)) -> Self {
        Self::around(async |upstream| {
            let mut options = options(upstream);
            change(&mut options);
            let proxy = ResetProxy::start(options).await.expect("free ports");
            let (address, control) = (proxy.address().expect("clients"), proxy.control_address());
            let shutdown = CancellationToken::new();
            let serving = tokio::spawn(proxy.serve(shutdown.clone()));
            Running { address, control, shutdown, serving }
        })
        .await
    }

    /// A lab whose proxy, for a service at this address, is started by `start`.
    pub(crate) async fn around(start: impl AsyncFnOnce(SocketAddr) -> Running) -> Self {
        let listener = TcpListener::bind(loopback()).await.expect("a free port");
        let listener = listener.into_std().expect("a listener of the standard library");
        let dial_probe = listener.try_clone().expect("a second handle");
        let listener = TcpListener::from_std(listener).expect("a listener of the runtime");
        let Running { address, control, shutdown, serving } = start(listener.local_addr().expect("bound")).await;
        Self { address, control, shutdown, serving, listener, dial_probe }
    }

    /// A proxy that resets every request at this point.
    pub(crate) async fn resetting(at: Point) -> Self {
        let lab = Self::start().await;
        lab.put(&rules("run-1", vec![always("reset", at)])).await;
        lab
    }

    /// A proxy whose rules let every request pass.
    pub(crate) async fn passing() -> Self {
        let lab = Self::start().await;
        lab.put(&rules("run-1", vec![])).await;
        lab
    }

    pub(crate) async fn client(&self) -> Peer {
        Peer(soon("a connection", TcpStream::connect(self.address)).await.expect("the proxy listens"))
    }

    /// The next connection that the proxy dials.
    pub(crate) async fn service(&self) -> Peer {
        Peer(soon("a dialled connection", self.listener.accept()).await.expect("the proxy dials").0)
    }

    /// Sends a request of a client. Returns both ends once the service has read all of it.
    pub(crate) async fn deliver(&self, request: &str) -> (Peer, Peer) {
        let mut client = self.client().await;
        client.send(request).await;
        let mut service = self.service().await;
        service.expect(request).await;
        (client, service)
    }

    /// Where the service of the lab listens.
    pub(crate) fn upstream(&self) -> SocketAddr {
        self.listener.local_addr().expect("bound")
    }

    pub(crate) fn was_not_dialled(&self) -> bool {
        matches!(self.dial_probe.accept(), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    pub(crate) async fn control(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        self.send_control(method, path, body).await.response().await
    }

    /// Sends a request to the control port.
    pub(crate) async fn send_control(&self, method: &str, path: &str, body: &str) -> Peer {
        let mut peer = Peer(soon("a connection", TcpStream::connect(self.control)).await.expect("control listens"));
        // HTTP/1.0, so that responses are not chunked.
        peer.send(format!("{method} {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len())).await;
        peer
    }

    pub(crate) async fn put(&self, rules: &Rules) {
        let (status, body) = self.control("PUT", RULES_PATH, &serde_json::to_string(rules).expect("JSON")).await;
        assert_eq!(status, 200, "{body}");
    }

    pub(crate) async fn drained(&self) {
        let (status, body) = self.control("GET", DRAIN_PATH, "").await;
        assert_eq!(status, 200, "{body}");
    }

    pub(crate) async fn counters(&self) -> ProxyCounters {
        serde_json::from_str(&self.control("GET", COUNTERS_PATH, "").await.1).expect("counters")
    }

    /// The record, once nothing is in flight. Its seal is checked.
    pub(crate) async fn record(&self) -> (Vec<RecordLine>, RecordFooter) {
        self.drained().await;
        self.record_now("").await
    }

    pub(crate) async fn record_now(&self, query: &str) -> (Vec<RecordLine>, RecordFooter) {
        let (status, text) = self.control("GET", &format!("{RECORD_PATH}{query}"), "").await;
        assert_eq!(status, 200, "{text}");
        let mut sealer = Sealer::default();
        let mut lines = Vec::new();
        for text in text.split_inclusive('\n') {
            match serde_json::from_str(text).expect("an item of the record") {
                RecordItem::Request(line) => {
                    sealer.add(text.as_bytes());
                    lines.push(line);
                }
                RecordItem::Footer(footer) => {
                    assert_eq!(footer.seal, sealer.seal());
                    return (lines, footer);
                }
            }
        }
        panic!("no footer in {text:?}");
    }

    /// The only line of the record.
    pub(crate) async fn only_line(&self) -> RecordLine {
        let (lines, _) = self.record().await;
        let [line] = lines.try_into().expect("one line");
        line
    }
}

pub(crate) fn rules(run_id: &str, faults: Vec<FaultSpec>) -> Rules {
    Rules { run_id: run_id.into(), seed: SEED, faults, last_struck: None, lease_ms: LEASE_MS }
}

pub(crate) fn fault(name: &str, probability: f64, at: Point) -> FaultSpec {
    FaultSpec::new(name, probability, Effect::Reset(Reset { at }))
}

pub(crate) fn always(name: &str, at: Point) -> FaultSpec {
    fault(name, 1.0, at)
}

/// A request with a body of ten bytes: attempt `k` of payment `i`.
pub(crate) fn pay(i: u64, k: u32) -> String {
    format!("POST /payments/ HTTP/1.1\r\nHost: lab\r\nPaylab-Attempt: {i}/{k}\r\nContent-Length: 10\r\n\r\n0123456789")
}

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbooked";
pub(crate) const OK_LAST: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nbooked";
