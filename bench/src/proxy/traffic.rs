//! The traffic: a server on a thread of its own, and clients. Requests and answers are as long as the lesson's.

use std::{
    io::{self, Read as _, Write as _},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    runtime::Builder,
};

const REQUEST_LEN: usize = 330;
const ANSWER_LEN: usize = 100;
const BULK_LEN: usize = 100_000_000;
const BACKLOG: u32 = 4096;
const CHUNK_LEN: usize = 256 * 1024;
/// One download.
pub(crate) const BULK_GB: f64 = 0.1;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An answer on a new connection, which the server then closes.
    Close,
    /// Answer after answer on one connection.
    Keep,
    /// Download after download on one connection: Toxiproxy would reset it before all is through.
    Bulk,
}

/// A server that answers all three.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Close => "close",
            Self::Keep => "keep",
            Self::Bulk => "bulk",
        }
    }

    fn request(self) -> Vec<u8> {
        let mut request = format!("GET /{} HTTP/1.1\r\nHost: bench\r\nX-Padding: ", self.name()).into_bytes();
        request.resize(REQUEST_LEN - 4, b'x');
        request.extend_from_slice(b"\r\n\r\n");
        request
    }

    fn answer_len(self) -> usize {
        match self {
            Self::Close | Self::Keep => ANSWER_LEN,
            Self::Bulk => ANSWER_LEN + BULK_LEN,
        }
    }

    /// The head of the answer, padded so that head and short body are as long as an answer.
    fn head(self) -> Vec<u8> {
        let body_len = self.answer_len() - ANSWER_LEN;
        let connection = if self == Self::Close { "close" } else { "keep-alive" };
        let mut head =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {body_len}\r\nConnection: {connection}\r\nX: ").into_bytes();
        head.resize(ANSWER_LEN - 4, b'x');
        head.extend_from_slice(b"\r\n\r\n");
        head
    }
}

impl Server {
    /// Starts the server's thread, which lives as long as the process.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let (tell, told) = mpsc::channel();
        thread::Builder::new().name("server".to_owned()).spawn(move || -> anyhow::Result<()> {
            Builder::new_current_thread().enable_all().build()?.block_on(async {
                let socket = TcpSocket::new_v4()?;
                socket.set_nodelay(true)?;
                socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
                let listener = socket.listen(BACKLOG)?;
                tell.send(listener.local_addr()?)?;
                serve(&listener).await
            })
        })?;
        Ok(Self { address: told.recv().context("the server did not start")? })
    }
}

async fn serve(listener: &TcpListener) -> anyhow::Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut request = [0; REQUEST_LEN];
            while stream.read_exact(&mut request).await.is_ok() {
                let kind = match request[5] {
                    b'c' => Kind::Close,
                    b'k' => Kind::Keep,
                    _ => Kind::Bulk,
                };
                if answer(&mut stream, kind).await.is_err() || kind == Kind::Close {
                    return;
                }
            }
        });
    }
}

async fn answer(stream: &mut TcpStream, kind: Kind) -> io::Result<()> {
    stream.write_all(&kind.head()).await?;
    let mut left = kind.answer_len() - ANSWER_LEN;
    let chunk = if left == 0 { Vec::new() } else { vec![b'x'; CHUNK_LEN] };
    while left > 0 {
        left -= stream.write(&chunk[..left.min(CHUNK_LEN)]).await?;
    }
    Ok(())
}

/// Asks `count` times, `in_flight` at once, and checks how long each answer is.
pub(crate) async fn ask_all(address: SocketAddr, kind: Kind, count: u32, in_flight: u32) -> anyhow::Result<()> {
    let next = Arc::new(AtomicU32::new(0));
    let clients: Vec<_> = (0..in_flight)
        .map(|_| {
            let next = Arc::clone(&next);
            tokio::spawn(async move {
                let request = kind.request();
                let mut buffer = vec![0; CHUNK_LEN];
                let mut kept = None;
                while next.fetch_add(1, Ordering::Relaxed) < count {
                    let mut stream = match kept.take() {
                        Some(stream) => stream,
                        None => connect(address).await?,
                    };
                    stream.write_all(&request).await?;
                    read(&mut stream, &mut buffer, kind.answer_len()).await?;
                    if kind == Kind::Close {
                        read_end(&mut stream).await?;
                    } else {
                        kept = Some(stream);
                    }
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for client in clients {
        client.await??;
    }
    Ok(())
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn read(stream: &mut TcpStream, buffer: &mut [u8], mut left: usize) -> io::Result<()> {
    while left > 0 {
        let most = left.min(buffer.len());
        match stream.read(&mut buffer[..most]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => left -= count,
        }
    }
    Ok(())
}

async fn read_end(stream: &mut TcpStream) -> anyhow::Result<()> {
    match stream.read(&mut [0]).await {
        Ok(0) => Ok(()),
        Ok(_) => anyhow::bail!("the answer is longer than it should be"),
        // So Toxiproxy ends connections that have a reset_peer, even one that never strikes.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Asks once on a connection that stays open.
pub(crate) fn ask_once(address: SocketAddr, kind: Kind) -> anyhow::Result<std::net::TcpStream> {
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.write_all(&kind.request())?;
    stream.read_exact(&mut [0; ANSWER_LEN])?;
    Ok(stream)
}
