//! A relay in front of PostgreSQL that can lose the answer to a COMMIT, or fall silent.

use std::{
    io,
    net::SocketAddr,
    str::FromStr as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
    task::JoinHandle,
};

use super::Database;

/// The client's message that commits, in any case.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";
/// The end of the server's message that a transaction is committed.
const COMMITTED: &[u8] = b"COMMIT\0";

/// What becomes of the answer to a COMMIT that PostgreSQL has carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The connection is closed instead.
    Cut,
    /// Nothing comes, and the connection stays open.
    Silence,
}

/// A relay that runs until it is dropped.
pub(crate) struct Relay {
    shared: Arc<Shared>,
    port: u16,
    accepting: JoinHandle<()>,
}

struct Shared {
    upstream: (String, u16),
    losses: Mutex<Losses>,
    /// How many connections were accepted.
    connections: AtomicUsize,
    /// How many answers were lost.
    lost: AtomicUsize,
    is_silent: watch::Sender<bool>,
}

/// Which answers are lost next.
struct Losses {
    skip: usize,
    count: usize,
    loss: Loss,
}

impl Relay {
    pub(crate) async fn start(database: &Database) -> Self {
        let server = PgConnectOptions::from_str(&database.url).expect("a URL");
        let shared = Arc::new(Shared {
            upstream: (server.get_host().to_owned(), server.get_port()),
            losses: Mutex::new(Losses { skip: 0, count: 0, loss: Loss::Cut }),
            connections: AtomicUsize::new(0),
            lost: AtomicUsize::new(0),
            is_silent: watch::Sender::new(false),
        });
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { shared, port, accepting }
    }

    /// The URL of the database behind this relay.
    pub(crate) fn url(&self, database: &Database) -> String {
        let more = if database.url.contains('?') { '&' } else { '?' };
        format!("{}{more}host=127.0.0.1&port={}", database.url, self.port)
    }

    /// Lets `skip` commits pass and then loses the answers to `count`.
    pub(crate) fn lose(&self, skip: usize, count: usize, loss: Loss) {
        *self.shared.losses.lock().expect("no panic") = Losses { skip, count, loss };
        self.shared.lost.store(0, Ordering::Relaxed);
    }

    /// Loses no more answers, and returns how many were lost.
    pub(crate) fn keep_all(&self) -> usize {
        self.shared.losses.lock().expect("no panic").count = 0;
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// From now on nothing passes in either direction, or everything again.
    pub(crate) fn set_silent(&self, is_silent: bool) {
        self.shared.is_silent.send_replace(is_silent);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn loss_of_next(&self) -> Option<Loss> {
        let mut losses = self.losses.lock().expect("no panic");
        if losses.count == 0 {
            return None;
        }
        if losses.skip > 0 {
            losses.skip -= 1;
            return None;
        }
        losses.count -= 1;
        Some(losses.loss)
    }

    async fn pass(&self) {
        let _ = self.is_silent.subscribe().wait_for(|is_silent| !is_silent).await;
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { return };
        shared.connections.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            shared.pass().await;
            let Ok(server) = TcpStream::connect(&shared.upstream).await else { return };
            for stream in [&client, &server] {
                let _ = stream.set_nodelay(true);
            }
            let ((client_in, client_out), (server_in, server_out)) = (client.into_split(), server.into_split());
            // Cutting ends the other direction as well.
            let cut = AtomicBool::new(false);
            let silence = AtomicBool::new(false);
            tokio::select! {
                _ = up(client_in, server_out, &shared, &cut, &silence) => {}
                _ = down(server_in, client_out, &shared, &cut, &silence) => {}
            }
        });
    }
}

async fn up(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    shared: &Shared,
    cut: &AtomicBool,
    silence: &AtomicBool,
) -> io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    let mut tail = Vec::new();
    loop {
        let len = client.read(&mut bytes).await?;
        if len == 0 {
            return Ok(());
        }
        shared.pass().await;
        if holds(&mut tail, &bytes[..len], COMMIT) {
            match shared.loss_of_next() {
                Some(Loss::Cut) => cut.store(true, Ordering::Release),
                Some(Loss::Silence) => silence.store(true, Ordering::Release),
                None => {}
            }
        }
        server.write_all(&bytes[..len]).await?;
    }
}

async fn down(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    shared: &Shared,
    cut: &AtomicBool,
    silence: &AtomicBool,
) -> io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    let mut tail = Vec::new();
    loop {
        let len = server.read(&mut bytes).await?;
        if len == 0 {
            return Ok(());
        }
        shared.pass().await;
        let is_committed = holds(&mut tail, &bytes[..len], COMMITTED);
        let (cut, silence) = (cut.load(Ordering::Acquire), silence.load(Ordering::Acquire));
        if is_committed && (cut || silence) {
            shared.lost.fetch_add(1, Ordering::Relaxed);
        }
        if is_committed && cut {
            return Ok(());
        }
        // After a silence that began with a COMMIT nothing passes any more.
        if !cut && !silence {
            client.write_all(&bytes[..len]).await?;
        }
    }
}

/// Whether a message has ended with these bytes. `tail` keeps the last bytes, because a message can come in pieces.
fn holds(tail: &mut Vec<u8>, bytes: &[u8], message: &[u8]) -> bool {
    tail.extend(bytes);
    let found = tail.windows(message.len()).any(|window| window.eq_ignore_ascii_case(message));
    let keep = if found { 0 } else { message.len() - 1 };
    tail.drain(..tail.len().saturating_sub(keep));
    found
}
