//! Control traffic: one request to the control side of a part, over a connection of its own. It must not know what is asked for.

mod fetch;
pub(crate) mod lease;
mod lines;

use std::{error::Error as _, io, time::Duration};

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{CONNECTION, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use paylab_part::tls::{HandshakeError, TlsDialer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

pub(crate) use self::{
    fetch::{Fetch, Fetched, fetch},
    lines::read_lines,
};

/// The usual longest silence: connecting, waiting for the head of the response and waiting for more of its body take less each.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(15);
/// The longest request as a whole; the evidence of a hundred million payments is read in less.
const REQUEST_MAX: Duration = Duration::from_secs(3600);
/// How much of a refusal is kept for the message, in bytes.
const REFUSAL_SHOWN: usize = 300;

/// A request to a part.
#[derive(Debug, Clone)]
pub(crate) struct ControlRequest<'a> {
    pub(crate) method: Method,
    /// `HOST:PORT`.
    pub(crate) address: &'a str,
    /// The path, with its query.
    pub(crate) path: &'a str,
    /// JSON, or nothing.
    pub(crate) body: String,
    /// The longest silence before the head of the response.
    pub(crate) silence_max: Duration,
}

/// Why a part did not respond as it should.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The connection could not be made, or it broke.
    #[error("{0}")]
    Broken(#[source] io::Error),
    /// The connection did not become TLS.
    #[error("{0}")]
    Tls(HandshakeError),
    /// Nothing came for too long.
    #[error("no answer for {} s", .0.as_secs())]
    Silent(Duration),
    /// The whole took too long.
    #[error("the answer took more than {} s", REQUEST_MAX.as_secs())]
    Endless,
    /// The connection ended before the end of the response.
    #[error("the answer was cut off")]
    Cut,
    /// The response is not HTTP.
    #[error("what answered does not speak HTTP")]
    Garbled,
    /// Any status but 2xx.
    #[error("the answer was {status}: {text}")]
    Refused {
        /// The status.
        status: u16,
        /// How the body begins.
        text: String,
    },
    /// A response that is not what a contract says.
    #[error("{0}")]
    NotAsAgreed(String),
}

impl ControlError {
    /// Whether nothing has responded at all.
    pub(crate) const fn is_unreached(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Silent(_))
    }

    fn of_hyper(error: &hyper::Error) -> Self {
        if error.is_parse() {
            return Self::Garbled;
        }
        match error.source().and_then(|source| source.downcast_ref::<io::Error>()) {
            Some(source) if source.kind() != io::ErrorKind::UnexpectedEof => {
                Self::Broken(io::Error::new(source.kind(), source.to_string()))
            }
            Some(_) | None => Self::Cut,
        }
    }
}

/// Sends a request and hands the body of a 2xx on in pieces as it comes. The response is whole only when this is `Ok`.
pub(crate) async fn send(request: ControlRequest<'_>, sink: impl FnMut(&[u8])) -> Result<(), ControlError> {
    timeout(REQUEST_MAX, exchange(request, sink)).await.map_err(|_| ControlError::Endless)?
}

async fn exchange(request: ControlRequest<'_>, mut sink: impl FnMut(&[u8])) -> Result<(), ControlError> {
    let (address, silence_max) = (request.address, request.silence_max);
    let Answered { response, _connection } = ask(address, None, silence_max, request.into_http()?).await?;
    if response.status().is_success() {
        read_body(response, |piece| sink(piece)).await
    } else {
        Err(refusal(response).await?)
    }
}

/// A response whose body has not been read.
struct Answered {
    response: Response<Incoming>,
    /// An error of the connection is also the error of the request that is on it.
    _connection: AbortOnDropHandle<hyper::Result<()>>,
}

/// Sends a request over a connection of its own.
async fn ask(
    address: &str,
    tls: Option<&TlsDialer>,
    silence_max: Duration,
    request: Request<Full<Bytes>>,
) -> Result<Answered, ControlError> {
    let stream = promptly(TcpStream::connect(address)).await?.map_err(ControlError::Broken)?;
    stream.set_nodelay(true).map_err(ControlError::Broken)?;
    match tls {
        None => converse(stream, silence_max, request).await,
        Some(tls) => {
            let stream = promptly(tls.handshake(stream)).await?.map_err(ControlError::Tls)?;
            converse(stream, silence_max, request).await
        }
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    silence_max: Duration,
    request: Request<Full<Bytes>>,
) -> Result<Answered, ControlError> {
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| ControlError::of_hyper(&error))?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let sent = within(silence_max, sender.send_request(request)).await?;
    let response = sent.map_err(|error| ControlError::of_hyper(&error))?;
    Ok(Answered { response, _connection })
}

async fn read_body(mut response: Response<Incoming>, mut sink: impl FnMut(&[u8])) -> Result<(), ControlError> {
    // Bounded by SILENCE_MAX and REQUEST_MAX.
    while let Some(frame) = promptly(response.frame()).await? {
        let frame = frame.map_err(|error| ControlError::of_hyper(&error))?;
        if let Some(data) = frame.data_ref() {
            sink(data);
        }
    }
    Ok(())
}

/// A response that is not 2xx, with the beginning of its body.
async fn refusal(response: Response<Incoming>) -> Result<ControlError, ControlError> {
    let status = response.status().as_u16();
    let mut text = Vec::new();
    let keep = |data: &[u8]| {
        let space = REFUSAL_SHOWN.saturating_sub(text.len());
        text.extend_from_slice(&data[..data.len().min(space)]);
    };
    read_body(response, keep).await?;
    Ok(ControlError::Refused { status, text: String::from_utf8_lossy(&text).into_owned() })
}

async fn promptly<T>(step: impl Future<Output = T>) -> Result<T, ControlError> {
    within(SILENCE_MAX, step).await
}

async fn within<T>(silence_max: Duration, step: impl Future<Output = T>) -> Result<T, ControlError> {
    timeout(silence_max, step).await.map_err(|_| ControlError::Silent(silence_max))
}

impl ControlRequest<'_> {
    fn into_http(self) -> Result<Request<Full<Bytes>>, ControlError> {
        let Self { method, address, path, body, silence_max: _ } = self;
        let mut request = Request::builder().method(method).uri(path).header(HOST, address).header(CONNECTION, "close");
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let unsendable = |error| ControlError::Broken(io::Error::new(io::ErrorKind::InvalidInput, error));
        request.body(Full::new(body.into())).map_err(unsendable)
    }
}
