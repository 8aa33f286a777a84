//! One attempt on a socket of its own -> an outcome. It must not know why an attempt is made or what follows it: there is no retry here.
//!
//! A request is written at once, right behind `connect`, and the answer is read until the *server* closes: whoever closes
//! first keeps the port for a minute, and a client has only so many.

use std::{
    io::{self, Write as _},
    mem::MaybeUninit,
    net::{SocketAddr, TcpStream as Socket},
    time::Duration,
};

use paylab_experiment::history::{Doubt, Outcome, Rejection};
use socket2::{Domain, Protocol, SockRef, Type};
use tokio::{
    io::{AsyncReadExt as _, Interest},
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::answer::{After, Head, Reader, Stage};

/// How long a server may take to close a connection it has answered on; then the client does.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(1);
/// Answers are read in pieces of at most this many bytes. A payment's answer is a tenth of it.
const READ_LEN: usize = 1024;

/// The way to the proxy.
#[derive(Debug)]
pub(crate) struct Wire {
    /// Where it listens.
    pub(crate) proxy: SocketAddr,
    /// How long one attempt may take, connecting included.
    pub(crate) timeout: Duration,
    /// Ends every attempt with what is known then.
    pub(crate) stop: CancellationToken,
}

/// A connection that may carry another request, kept by one sender.
#[derive(Debug, Default)]
pub(crate) struct Line(Option<TcpStream>);

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attempted {
    /// What the client may believe.
    pub(crate) outcome: Outcome,
    /// When it could.
    pub(crate) at: Instant,
}

/// How much of an attempt has left the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Nothing,
    Request,
}

/// A whole answer and the connection it came on.
struct Answered {
    outcome: Outcome,
    stream: TcpStream,
    after: After,
}

impl Wire {
    /// Sends one request and reads its answer. `after` says what to do with the connection if the answer leaves it open.
    pub(crate) async fn attempt(&self, request: &[u8], after: After, line: &mut Line) -> Attempted {
        let mut sent = Sent::Nothing;
        let exchange = timeout(self.timeout, self.exchange(request, line, &mut sent));
        let ended = self.stop.run_until_cancelled(exchange).await;
        let at = Instant::now();
        let outcome = match (ended, sent) {
            (Some(Ok(Ok(answered))), _) => {
                match (after, answered.after) {
                    (After::Keep, After::Keep) => line.0 = Some(answered.stream),
                    (After::Close, _) | (_, After::Close) => self.await_end(answered.stream).await,
                }
                answered.outcome
            }
            (Some(Ok(Err(outcome))), _) => outcome,
            (Some(Err(_)) | None, Sent::Request) => Outcome::Unknown(Doubt::Timeout),
            (Some(Err(_)) | None, Sent::Nothing) => Outcome::Rejected(Rejection::Unreached),
        };
        Attempted { outcome, at }
    }

    async fn exchange(&self, request: &[u8], line: &mut Line, sent: &mut Sent) -> Result<Answered, Outcome> {
        let mut stream = match line.0.take().filter(is_alive) {
            Some(kept) => write_kept(kept, request)?,
            None => write_fresh(self.connect().map_err(|error| Outcome::Rejected(rejection(&error)))?, request).await?,
        };
        *sent = Sent::Request;
        let head = read_answer(&mut stream).await.map_err(Outcome::Unknown)?;
        Ok(Answered { outcome: head.outcome(), stream, after: head.after })
    }

    /// Begins a connection and does not wait until it is made.
    fn connect(&self) -> io::Result<Socket> {
        let kind = Type::STREAM.nonblocking();
        let socket = socket2::Socket::new(Domain::for_address(self.proxy), kind, Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&self.proxy.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
            Ok(()) | Err(_) => Ok(socket.into()),
        }
    }

    /// Lets the server close first.
    async fn await_end(&self, mut stream: TcpStream) {
        let ended = timeout(CLOSE_WAIT_MAX, read_to_end(&mut stream));
        // Whether it ended, took too long or the load stops: the outcome is known, and the connection is done with.
        let _ = self.stop.run_until_cancelled(ended).await;
    }
}

/// Why no connection was made.
fn rejection(error: &io::Error) -> Rejection {
    match error.raw_os_error() {
        Some(libc::EADDRNOTAVAIL | libc::EMFILE | libc::ENFILE) => Rejection::NoPort,
        _ => Rejection::Unreached,
    }
}

/// Whether a kept connection has nothing to say: an end, a reset or bytes nobody asked for make it useless.
/// The kernel is asked, because what the runtime knows of the connection may be older than its end.
fn is_alive(kept: &TcpStream) -> bool {
    let mut byte = [MaybeUninit::uninit()];
    matches!(SockRef::from(kept).peek(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// A request always fits the empty send buffer of a connection, so one write takes it whole.
fn written_whole(written: io::Result<usize>, request: &[u8]) -> io::Result<()> {
    if written? == request.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

fn write_kept(kept: TcpStream, request: &[u8]) -> Result<TcpStream, Outcome> {
    written_whole(SockRef::from(&kept).send(request), request).map_err(|_| Outcome::Unknown(Doubt::Reset))?;
    Ok(kept)
}

/// On a loopback the connection is made by now, and the request goes out before anybody waits.
async fn write_fresh(mut socket: Socket, request: &[u8]) -> Result<TcpStream, Outcome> {
    match socket.write(request) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            let stream = TcpStream::from_std(socket).map_err(|error| Outcome::Rejected(rejection(&error)))?;
            let written = write_when_made(&stream, request).await;
            written.map_err(|error| first_write(&error)).map(|()| stream)
        }
        written => {
            written_whole(written, request).map_err(|error| first_write(&error))?;
            TcpStream::from_std(socket).map_err(|_| Outcome::Unknown(Doubt::Reset))
        }
    }
}

async fn write_when_made(stream: &TcpStream, request: &[u8]) -> io::Result<()> {
    // Bounded by the attempt's timeout around it.
    loop {
        stream.writable().await?;
        match stream.try_write(request) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            written => return written_whole(written, request),
        }
    }
}

/// The first write is also where a connection in the making says that it failed.
fn first_write(error: &io::Error) -> Outcome {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::WriteZero => {
            Outcome::Unknown(Doubt::Reset)
        }
        _ => Outcome::Rejected(rejection(error)),
    }
}

async fn read_answer(stream: &mut TcpStream) -> Result<Head, Doubt> {
    let mut reader = Reader::default();
    let mut bytes = [0; READ_LEN];
    // Bounded by the attempt's timeout around it.
    loop {
        let len = stream.read(&mut bytes).await.map_err(|_| Doubt::Reset)?;
        let stage = match len {
            0 => reader.end(),
            len => reader.take(&bytes[..len], |_, _| ()).map_err(|_| Doubt::Garbled)?,
        };
        match stage {
            Stage::Whole(head) => return Ok(head),
            Stage::Partial if len == 0 => return Err(Doubt::Eof),
            Stage::Partial => {}
        }
    }
}

/// Until the server has closed or reset the connection; most often that came with the answer, and nothing needs to be read.
async fn read_to_end(stream: &mut TcpStream) -> io::Result<()> {
    let mut bytes = [0; READ_LEN];
    loop {
        if stream.ready(Interest::READABLE).await?.is_read_closed() || stream.read(&mut bytes).await? == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_of_this_machine_is_told_from_a_server_that_is_not_there() {
        for (code, expected) in [
            (libc::EADDRNOTAVAIL, Rejection::NoPort),
            (libc::EMFILE, Rejection::NoPort),
            (libc::ENFILE, Rejection::NoPort),
            (libc::ECONNREFUSED, Rejection::Unreached),
            (libc::EHOSTUNREACH, Rejection::Unreached),
            (libc::ENETUNREACH, Rejection::Unreached),
            (libc::ETIMEDOUT, Rejection::Unreached),
        ] {
            assert_eq!(rejection(&io::Error::from_raw_os_error(code)), expected, "{code}");
        }
    }

    #[test]
    fn a_connection_that_was_made_and_lost_is_a_doubt_and_one_that_was_never_made_is_not() {
        for (code, expected) in [
            (libc::ECONNRESET, Outcome::Unknown(Doubt::Reset)),
            (libc::EPIPE, Outcome::Unknown(Doubt::Reset)),
            (libc::ECONNREFUSED, Outcome::Rejected(Rejection::Unreached)),
            (libc::ETIMEDOUT, Outcome::Rejected(Rejection::Unreached)),
        ] {
            assert_eq!(first_write(&io::Error::from_raw_os_error(code)), expected, "{code}");
        }
    }
}
