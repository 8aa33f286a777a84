//! One answer of a service that is not Paylab's own, with its status, read whole.

use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request,
    body::Bytes,
    header::{ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, HOST, LINK, LOCATION},
};

use paylab_part::tls::TlsDialer;

use super::{Answered, ControlError, SILENCE_MAX, ask, promptly};

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fetch<'a> {
    /// `HOST:PORT`.
    pub(crate) address: &'a str,
    /// What makes TLS of the connection; `None`: it is plain.
    pub(crate) tls: Option<&'a TlsDialer>,
    /// As the header `Host` names it.
    pub(crate) host: &'a str,
    /// The path, with its query.
    pub(crate) path: &'a str,
    /// Further headers.
    pub(crate) headers: &'a [(String, String)],
    /// A longer body is refused, in bytes.
    pub(crate) len_max: usize,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fetched {
    /// The status.
    pub(crate) status: u16,
    /// The header `Link`.
    pub(crate) link: Option<String>,
    /// The header `Location`.
    pub(crate) location: Option<String>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

/// Fetches an answer, whatever its status is. It follows no redirect.
pub(crate) async fn fetch(wanted: Fetch<'_>) -> Result<Fetched, ControlError> {
    let Fetch { address, tls, host, path, headers, len_max } = wanted;
    let request = Request::get(path).header(HOST, host).header(ACCEPT, "application/json");
    let request = request.header(ACCEPT_ENCODING, "identity").header(CONNECTION, "close");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
    let unsendable =
        |error: hyper::http::Error| ControlError::NotAsAgreed(format!("the request cannot be sent: {error}"));
    let request = request.body(Empty::<Bytes>::new()).map_err(unsendable)?;
    let request = request.map(|_| http_body_util::Full::default());
    let Answered { mut response, _connection } = ask(address, tls, SILENCE_MAX, request).await?;
    let text = |name| response.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let (status, link, location) = (response.status().as_u16(), text(LINK), text(LOCATION));
    if let Some(encoding) = text(CONTENT_ENCODING).filter(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err(ControlError::NotAsAgreed(format!(
            "the answer is compressed (Content-Encoding: {encoding}), although Accept-Encoding: identity was sent"
        )));
    }
    let mut body = Vec::new();
    // Bounded by SILENCE_MAX and `len_max`.
    while let Some(frame) = promptly(response.frame()).await? {
        let frame = frame.map_err(|error| ControlError::of_hyper(&error))?;
        body.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..]));
        if body.len() > len_max {
            return Err(ControlError::NotAsAgreed(format!(
                "the answer has more than {len_max} bytes; ask for smaller pages"
            )));
        }
    }
    Ok(Fetched { status, link, location, body })
}
