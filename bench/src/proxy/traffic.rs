//! The traffic: a server on a thread of its own, and clients. Requests and responses have the lengths of the lesson's.

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
const RESPONSE_LEN: usize = 100;
const BULK_LEN: usize = 100_000_000;
const BACKLOG: u32 = 4096;
const CHUNK_LEN: usize = 256 * 1024;
/// The length of one download.
pub(crate) const BULK_GB: f64 = 0.1;

/// What the clients request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    /// One response on a new connection, which the server then closes.
    Close,
    /// Many responses on one connection.
    Keep,
    /// Many downloads on one connection, because Toxiproxy would reset a connection that the server closes before all is delivered.
    Bulk,
}

/// A server for all workloads.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
}

impl Workload {
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

    fn response_len(self) -> usize {
        match self {
            Self::Close | Self::Keep => RESPONSE_LEN,
            Self::Bulk => RESPONSE_LEN + BULK_LEN,
        }
    }

    /// The head of the response, padded to the length of a response without a body.
    fn response_head(self) -> Vec<u8> {
        let body_len = self.response_len() - RESPONSE_LEN;
        let connection = if self == Self::Close { "close" } else { "keep-alive" };
        let mut head =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {body_len}\r\nConnection: {connection}\r\nX: ").into_bytes();
        head.resize(RESPONSE_LEN - 4, b'x');
        head.extend_from_slice(b"\r\n\r\n");
        head
    }
}

impl Server {
    /// Starts the server's thread, which lives as long as the process.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        thread::Builder::new().name("server".to_owned()).spawn(move || -> anyhow::Result<()> {
            Builder::new_current_thread().enable_all().build()?.block_on(async {
                let socket = TcpSocket::new_v4()?;
                socket.set_nodelay(true)?;
                socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
                let listener = socket.listen(BACKLOG)?;
                sender.send(listener.local_addr()?)?;
                serve(&listener).await
            })
        })?;
        Ok(Self { address: receiver.recv().context("the server did not start")? })
    }
}

async fn serve(listener: &TcpListener) -> anyhow::Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut request = [0; REQUEST_LEN];
            while stream.read_exact(&mut request).await.is_ok() {
                let workload = match request[5] {
                    b'c' => Workload::Close,
                    b'k' => Workload::Keep,
                    _ => Workload::Bulk,
                };
                if respond(&mut stream, workload).await.is_err() || workload == Workload::Close {
                    return;
                }
            }
        });
    }
}

async fn respond(stream: &mut TcpStream, workload: Workload) -> io::Result<()> {
    stream.write_all(&workload.response_head()).await?;
    let mut left = workload.response_len() - RESPONSE_LEN;
    let chunk = if left == 0 { Vec::new() } else { vec![b'x'; CHUNK_LEN] };
    while left > 0 {
        left -= stream.write(&chunk[..left.min(CHUNK_LEN)]).await?;
    }
    Ok(())
}

/// Sends `count` requests, `in_flight` at once, and checks the length of each response.
pub(crate) async fn send_all(
    address: SocketAddr,
    workload: Workload,
    count: u32,
    in_flight: u32,
) -> anyhow::Result<()> {
    let next = Arc::new(AtomicU32::new(0));
    let clients: Vec<_> = (0..in_flight)
        .map(|_| {
            let next = Arc::clone(&next);
            tokio::spawn(async move {
                let request = workload.request();
                let mut buffer = vec![0; CHUNK_LEN];
                let mut kept = None;
                while next.fetch_add(1, Ordering::Relaxed) < count {
                    let mut stream = match kept.take() {
                        Some(stream) => stream,
                        None => connect(address).await?,
                    };
                    stream.write_all(&request).await?;
                    read(&mut stream, &mut buffer, workload.response_len()).await?;
                    if workload == Workload::Close {
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
        Ok(_) => anyhow::bail!("the response is longer than expected"),
        // Toxiproxy ends connections that have a reset_peer in this way, even if the toxic never fires.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Opens a connection, sends one request and reads the response; the connection stays open.
pub(crate) fn open_connection(address: SocketAddr, workload: Workload) -> anyhow::Result<std::net::TcpStream> {
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.write_all(&workload.request())?;
    stream.read_exact(&mut [0; RESPONSE_LEN])?;
    Ok(stream)
}
