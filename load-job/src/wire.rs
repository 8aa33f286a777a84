//! The wire of one attempt: a request on a socket, and the outcome. It must not know why an attempt is made or what follows it: there is
//! no retry here. It is written by hand, because the outcome depends on which bytes have been sent and received.
//!
//! A request is written at once, right behind `connect`, and the connection is read until the *server* closes it: the side that closes
//! first keeps the port in TIME_WAIT for a minute, and the number of a client's ports is limited.

mod response;
mod tls;

use std::{
    io::{self, Write as _},
    mem::MaybeUninit,
    net::{SocketAddr, TcpStream as Socket},
    time::Duration,
};

use paylab_core::witness::attempt::{AttemptOutcome, Rejection, Uncertainty};
use socket2::{Domain, Protocol, SockRef, Type};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, Interest},
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::response::Reuse;
use self::response::{Malformed, Received, ResponseHead, ResponseReader, Understood};
use crate::shape::{Rule, Shape};

/// How long the client waits for the server to close a connection after its response; then the client closes it.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(1);
/// Responses are read in pieces of at most this many bytes. The response to a payment is a tenth of it.
const READ_LEN: usize = 1024;

/// Makes attempts against one proxy.
#[derive(Debug)]
pub(crate) struct Wire {
    /// Where the proxy listens.
    pub(crate) proxy: SocketAddr,
    /// How long one attempt may take, connecting included.
    pub(crate) timeout: Duration,
    /// When cancelled, every attempt ends with what is known at that moment.
    pub(crate) stop: CancellationToken,
}

/// A connection that may carry another request, kept by one sender.
#[derive(Debug, Default)]
pub(crate) struct KeptConnection(Option<TcpStream>);

/// An attempt that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempted {
    /// What the client may believe.
    pub(crate) outcome: AttemptOutcome,
    /// What came back; `None`: no whole answer.
    pub(crate) answer: Option<Answer>,
    /// When the outcome was known.
    pub(crate) at: Instant,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A whole response.
    Whole {
        /// Its status.
        status: u16,
        /// The rule that says what it means.
        rule: Rule,
        /// What it calls the payment.
        identity: Option<String>,
        /// Its head, if no rule has matched.
        head: Vec<u8>,
        /// How its body begins, if that may say why nothing was acknowledged.
        beginning: Vec<u8>,
    },
    /// Something that is not a response, for this reason.
    NotUnderstood(&'static str),
}

/// Why an exchange has no whole response.
struct Failed {
    outcome: AttemptOutcome,
    not_understood: Option<&'static str>,
}

/// How much of a request has been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Nothing,
    Request,
}

/// A whole response and the connection on which it came.
struct WholeResponse {
    head: ResponseHead,
    understood: Understood,
    stream: TcpStream,
}

impl Wire {
    /// Sends one request and reads its response. `reuse` says what to do with the connection if the response leaves it open.
    pub(crate) async fn attempt(
        &self,
        shape: &Shape,
        request: &[u8],
        reuse: Reuse,
        kept: &mut KeptConnection,
    ) -> Attempted {
        let mut sent = Sent::Nothing;
        let exchange = timeout(self.timeout, self.exchange(shape, request, kept, &mut sent));
        let ended = self.stop.run_until_cancelled(exchange).await;
        let at = Instant::now();
        let (outcome, answer) = match (ended, sent) {
            (Some(Ok(Ok(WholeResponse { head, understood, stream }))), _) => {
                match (reuse, head.reuse) {
                    (Reuse::Keep, Reuse::Keep) => kept.0 = Some(stream),
                    (Reuse::Close, _) | (_, Reuse::Close) => self.await_end(stream).await,
                }
                answered(head, understood)
            }
            (Some(Ok(Err(failed))), _) => failed.concluded(),
            (Some(Err(_)), Sent::Request) => (AttemptOutcome::Unknown(Uncertainty::Timeout), None),
            (None, Sent::Request) => (AttemptOutcome::Unknown(Uncertainty::Stopped), None),
            (Some(Err(_)) | None, Sent::Nothing) => (AttemptOutcome::Rejected(Rejection::Unreached), None),
        };
        Attempted { outcome, answer, at }
    }

    async fn exchange(
        &self,
        shape: &Shape,
        request: &[u8],
        kept: &mut KeptConnection,
        sent: &mut Sent,
    ) -> Result<WholeResponse, Failed> {
        let mut stream = match kept.0.take().filter(is_alive) {
            Some(kept) => write_kept(kept, request)?,
            None => {
                write_fresh(self.connect().map_err(|error| AttemptOutcome::Rejected(rejection(&error)))?, request)
                    .await?
            }
        };
        *sent = Sent::Request;
        let (head, understood) = read_response(shape, &mut stream).await?;
        Ok(WholeResponse { head, understood, stream })
    }

    /// Begins a connection and does not wait until it is established.
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
        // The outcome is known, so it does not matter whether the connection ended, the wait was too long or the load stops.
        let _ = self.stop.run_until_cancelled(ended).await;
    }
}

impl Failed {
    fn concluded(self) -> (AttemptOutcome, Option<Answer>) {
        (self.outcome, self.not_understood.map(Answer::NotUnderstood))
    }
}

/// What a whole response says.
fn answered(head: ResponseHead, understood: Understood) -> (AttemptOutcome, Option<Answer>) {
    let ResponseHead { status, .. } = head;
    let Understood { meaning, identity, head, beginning } = understood;
    (meaning.outcome, Some(Answer::Whole { status, rule: meaning.rule, identity, head, beginning }))
}

impl From<AttemptOutcome> for Failed {
    fn from(outcome: AttemptOutcome) -> Self {
        Self { outcome, not_understood: None }
    }
}

impl From<Uncertainty> for Failed {
    fn from(uncertainty: Uncertainty) -> Self {
        AttemptOutcome::Unknown(uncertainty).into()
    }
}

impl From<Malformed> for Failed {
    fn from(Malformed(reason): Malformed) -> Self {
        Self { not_understood: Some(reason), ..Uncertainty::Garbled.into() }
    }
}

/// Why no connection was made.
fn rejection(error: &io::Error) -> Rejection {
    match error.raw_os_error() {
        Some(libc::EADDRNOTAVAIL | libc::EMFILE | libc::ENFILE) => Rejection::NoPort,
        _ => Rejection::Unreached,
    }
}

/// The fields of a head, without its first line.
pub(crate) fn fields_of(head: &[u8]) -> &[u8] {
    let end = head.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    head.get(end..).unwrap_or_default().trim_ascii()
}

/// Whether a kept connection can carry a request: an end, a reset or bytes that nobody asked for make it useless.
/// The kernel is asked, because the runtime may not yet have noticed the end of the connection.
fn is_alive(kept: &TcpStream) -> bool {
    let mut byte = [MaybeUninit::uninit()];
    matches!(SockRef::from(kept).peek(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// A request always fits the empty send buffer of a connection, so one write takes it whole.
fn written_whole(written: io::Result<usize>, request: &[u8]) -> io::Result<()> {
    if written? == request.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

fn write_kept(kept: TcpStream, request: &[u8]) -> Result<TcpStream, AttemptOutcome> {
    written_whole(SockRef::from(&kept).send(request), request)
        .map_err(|_| AttemptOutcome::Unknown(Uncertainty::Reset))?;
    Ok(kept)
}

/// On the loopback interface the connection is established by now, and the request is written without a wait.
async fn write_fresh(mut socket: Socket, request: &[u8]) -> Result<TcpStream, AttemptOutcome> {
    match socket.write(request) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            let stream = TcpStream::from_std(socket).map_err(|error| AttemptOutcome::Rejected(rejection(&error)))?;
            let written = write_when_connected(&stream, request).await;
            written.map_err(|error| failed_first_write(&error)).map(|()| stream)
        }
        written => {
            written_whole(written, request).map_err(|error| failed_first_write(&error))?;
            TcpStream::from_std(socket).map_err(|_| AttemptOutcome::Unknown(Uncertainty::Reset))
        }
    }
}

async fn write_when_connected(stream: &TcpStream, request: &[u8]) -> io::Result<()> {
    // Bounded by the attempt's timeout around it.
    loop {
        stream.writable().await?;
        match stream.try_write(request) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            written => return written_whole(written, request),
        }
    }
}

/// The outcome of a first write that failed. It also reports that the connection could not be established.
fn failed_first_write(error: &io::Error) -> AttemptOutcome {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::WriteZero => {
            AttemptOutcome::Unknown(Uncertainty::Reset)
        }
        _ => AttemptOutcome::Rejected(rejection(error)),
    }
}

async fn read_response(
    shape: &Shape,
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<(ResponseHead, Understood), Failed> {
    let mut reader = ResponseReader::new(shape);
    let mut bytes = [0; READ_LEN];
    // Bounded by the attempt's timeout around it.
    loop {
        let len = stream.read(&mut bytes).await.map_err(|_| Failed::from(Uncertainty::Reset))?;
        let received = match len {
            0 => reader.end(),
            len => reader.take(&bytes[..len]).map_err(Failed::from)?,
        };
        match received {
            Received::Whole(head) => return Ok((head, reader.understand(head))),
            Received::Partial if len == 0 => return Err(Uncertainty::Eof.into()),
            Received::Partial => {}
        }
    }
}

/// Reads until the server has closed or reset the connection. Most often the end came with the response, and nothing needs to be read.
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
    fn a_shortage_of_ports_or_descriptors_is_not_taken_for_an_absent_server() {
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
    fn a_lost_connection_leaves_the_outcome_unknown_and_one_never_established_does_not() {
        for (code, expected) in [
            (libc::ECONNRESET, AttemptOutcome::Unknown(Uncertainty::Reset)),
            (libc::EPIPE, AttemptOutcome::Unknown(Uncertainty::Reset)),
            (libc::ECONNREFUSED, AttemptOutcome::Rejected(Rejection::Unreached)),
            (libc::ETIMEDOUT, AttemptOutcome::Rejected(Rejection::Unreached)),
        ] {
            assert_eq!(failed_first_write(&io::Error::from_raw_os_error(code)), expected, "{code}");
        }
    }
}
