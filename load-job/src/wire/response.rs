//! An HTTP/1.1 response, read as its bytes come. It must not know of sockets, nor what a response means.

use paylab_contract::answers::{BODY_LEN_MAX, Candidates};
use paylab_part::chunked::Chunked;

use crate::shape::{ByHead, Meaning, Rule, Shape};

/// Longer heads are not read, in bytes.
const HEAD_LEN_MAX: usize = 100 * 1024;
/// Space for the header fields of a usual head.
const FIELDS_USUAL: usize = 64;
/// Heads with more fields are not read.
const FIELDS_MAX: usize = 1000;
/// How a server that speaks TLS begins its answer to a request in plain HTTP.
const TLS_ALERT: &[u8] = &[0x15, 0x03];
/// How much of the body of a response is kept to be shown, in bytes.
const BEGINNING_LEN: usize = 160;

/// The bytes are no HTTP/1 response, for this reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// Reads one response; interim ones (1xx) are skipped.
#[derive(Debug)]
pub(super) struct ResponseReader<'a> {
    shape: &'a Shape,
    /// The bytes of a head that is not whole yet.
    pending: Vec<u8>,
    open: Option<(ResponseHead, Framing)>,
    /// What the body has to decide.
    undecided: Option<Candidates>,
    /// How long the head of the final response is, which is at the front of `pending`.
    head_len: usize,
    /// How the body begins, as far as it is of use.
    kept: Kept,
}

/// The beginning of a body.
#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    len_max: usize,
}

/// A whole response as it is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Understood {
    /// What it means.
    pub(super) meaning: Meaning,
    /// What it calls the payment.
    pub(super) identity: Option<String>,
    /// Its head, if no rule has matched.
    pub(super) head: Vec<u8>,
    /// How its body begins, if that may say why nothing was acknowledged.
    pub(super) beginning: Vec<u8>,
}

/// How much of a response has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// Not all of it.
    Partial,
    /// All of it.
    Whole(ResponseHead),
}

/// What the head of a final response says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ResponseHead {
    /// The status of the response.
    pub(super) status: u16,
    /// What it means once all of the response has come, unless the body says otherwise.
    pub(super) meaning: Meaning,
    /// What becomes of the connection.
    pub(super) reuse: Reuse,
}

/// What becomes of a connection after a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// It ends.
    Close,
    /// It can carry another request.
    Keep,
}

/// The first head in the bytes so far.
enum ParsedHead {
    /// It is not whole.
    Partial,
    /// It is an interim one (1xx), with its length.
    Interim { len: usize },
    /// It is a final one, with its length.
    Final { len: usize, head: ResponseHead, framing: Framing, undecided: Option<Candidates> },
}

/// Where the body of a response ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length { left: u64 },
    Chunked(Chunked),
    UntilEnd,
}

impl<'a> ResponseReader<'a> {
    /// A reader of one response of this shape.
    pub(super) const fn new(shape: &'a Shape) -> Self {
        let kept = Kept { bytes: Vec::new(), len_max: 0 };
        Self { shape, pending: Vec::new(), open: None, undecided: None, head_len: 0, kept }
    }

    /// Takes bytes as they come.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Received, Malformed> {
        if let Some((head, framing)) = &mut self.open {
            return framing.take(*head, bytes, |data| self.kept.keep(data));
        }
        self.pending.extend_from_slice(bytes);
        loop {
            match parse(&self.pending, self.shape)? {
                ParsedHead::Partial => break,
                ParsedHead::Interim { len } => drop(self.pending.drain(..len)),
                ParsedHead::Final { len, head, mut framing, undecided } => {
                    self.kept.len_max = kept_len(head, undecided.as_ref());
                    (self.undecided, self.head_len) = (undecided, len);
                    let received = framing.take(head, &self.pending[len..], |data| self.kept.keep(data));
                    self.open = Some((head, framing));
                    return received;
                }
            }
        }
        if self.pending.len() > HEAD_LEN_MAX {
            return Err(Malformed("the head of an answer has more than 100 KiB"));
        }
        Ok(Received::Partial)
    }

    /// What a whole response with this head means.
    pub(super) fn understand(self, head: ResponseHead) -> Understood {
        let Self { shape, mut pending, head_len, kept: Kept { mut bytes, .. }, undecided, .. } = self;
        let (meaning, identity) = match &undecided {
            None => (head.meaning, None),
            Some(undecided) => shape.by_body(head.meaning, undecided, &bytes),
        };
        if is_shown(head.status, meaning) {
            bytes.truncate(BEGINNING_LEN);
        } else {
            bytes.clear();
        }
        pending.truncate(if meaning.rule == Rule::Unmatched { head_len } else { 0 });
        Understood { meaning, identity, head: pending, beginning: bytes }
    }

    /// The connection has ended cleanly, which may also be the end of the response.
    pub(super) fn end(&self) -> Received {
        match self.open {
            Some((head, Framing::UntilEnd)) => Received::Whole(head),
            Some((_, Framing::Length { .. } | Framing::Chunked(_))) | None => Received::Partial,
        }
    }
}

impl Framing {
    fn take(&mut self, head: ResponseHead, bytes: &[u8], mut data: impl FnMut(&[u8])) -> Result<Received, Malformed> {
        let used = match self {
            Self::Length { left } => {
                let len = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= len as u64;
                data(&bytes[..len]);
                len
            }
            Self::Chunked(chunked) => chunked.take_data(bytes, data),
            Self::UntilEnd => {
                data(bytes);
                bytes.len()
            }
        };
        // Bytes that nobody asked for make the connection useless for another request.
        let reuse = if used < bytes.len() { Reuse::Close } else { head.reuse };
        match self {
            Self::Length { left: 0 } | Self::Chunked(Chunked::Done) => {
                Ok(Received::Whole(ResponseHead { reuse, ..head }))
            }
            Self::Chunked(Chunked::Broken) => Err(Malformed("the chunks of an answer are malformed")),
            Self::Length { .. } | Self::Chunked(_) | Self::UntilEnd => Ok(Received::Partial),
        }
    }
}

const fn is_interim(status: u16) -> bool {
    matches!(status, 100 | 102..=199)
}

impl Kept {
    fn keep(&mut self, data: &[u8]) {
        let space = self.len_max - self.bytes.len();
        self.bytes.extend_from_slice(&data[..data.len().min(space)]);
    }
}

/// How much of a body is of use.
fn kept_len(head: ResponseHead, undecided: Option<&Candidates>) -> usize {
    match undecided {
        Some(_) => BODY_LEN_MAX,
        None if is_shown(head.status, head.meaning) => BEGINNING_LEN,
        None => 0,
    }
}

/// Whether the beginning of a body may say why a response was not understood as an acknowledgement.
fn is_shown(status: u16, meaning: Meaning) -> bool {
    !(200..300).contains(&status) || meaning.rule == Rule::Unmatched
}

/// Reads the first head in `bytes`.
fn parse(bytes: &[u8], shape: &Shape) -> Result<ParsedHead, Malformed> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_USUAL];
    let mut response = httparse::Response::new(&mut fields);
    match response.parse(bytes) {
        Ok(parsed) => read_head(parsed, &response, shape),
        Err(httparse::Error::TooManyHeaders) => {
            let mut fields = vec![httparse::EMPTY_HEADER; FIELDS_MAX];
            let mut response = httparse::Response::new(&mut fields);
            let parsed = response.parse(bytes).map_err(malformed_head)?;
            read_head(parsed, &response, shape)
        }
        Err(_) if bytes.starts_with(TLS_ALERT) => {
            Err(Malformed("what answers speaks TLS; use https:// in spec.target.url"))
        }
        Err(error) => Err(malformed_head(error)),
    }
}

fn malformed_head(error: httparse::Error) -> Malformed {
    Malformed(match error {
        httparse::Error::HeaderName => "the name of a header field of an answer is malformed",
        httparse::Error::HeaderValue => "the value of a header field of an answer is malformed",
        httparse::Error::Status => "the status of an answer is malformed",
        httparse::Error::TooManyHeaders => "an answer has more than 1000 header fields",
        httparse::Error::Version => "an answer is not HTTP/1",
        httparse::Error::NewLine | httparse::Error::Token => "the head of an answer is malformed",
    })
}

fn read_head(
    parsed: httparse::Status<usize>,
    response: &httparse::Response<'_, '_>,
    shape: &Shape,
) -> Result<ParsedHead, Malformed> {
    let httparse::Status::Complete(len) = parsed else { return Ok(ParsedHead::Partial) };
    let (Some(status), Some(version)) = (response.code, response.version) else {
        return Err(Malformed("the head of an answer is malformed"));
    };
    if is_interim(status) {
        return Ok(ParsedHead::Interim { len });
    }
    let mut reuse = if version == 0 { Reuse::Close } else { Reuse::Keep };
    let mut framing = Framing::UntilEnd;
    for field in response.headers.iter() {
        read_field(field, &mut reuse, &mut framing)?;
    }
    if matches!(status, 204 | 304) {
        framing = Framing::Length { left: 0 };
    }
    if framing == Framing::UntilEnd {
        reuse = Reuse::Close;
    }
    let ByHead { meaning, undecided } = shape.by_head(status, response.headers);
    if undecided.is_some() && response.headers.iter().any(is_compressed) {
        return Err(Malformed(
            "an answer is compressed (Content-Encoding), although Accept-Encoding: identity was sent, so its body cannot be read",
        ));
    }
    Ok(ParsedHead::Final { len, head: ResponseHead { status, meaning, reuse }, framing, undecided })
}

fn read_field(field: &httparse::Header<'_>, reuse: &mut Reuse, framing: &mut Framing) -> Result<(), Malformed> {
    let value = field.value.trim_ascii();
    if field.name.eq_ignore_ascii_case("content-length") {
        let left = length(value)?;
        match *framing {
            Framing::UntilEnd => *framing = Framing::Length { left },
            Framing::Length { left: earlier } if earlier != left => {
                return Err(Malformed("an answer has two values of Content-Length"));
            }
            Framing::Length { .. } | Framing::Chunked(_) => {}
        }
    } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Malformed("an answer has a Transfer-Encoding other than chunked"));
        }
        *framing = Framing::Chunked(Chunked::START);
    } else if field.name.eq_ignore_ascii_case("connection")
        && value.split(|byte| *byte == b',').any(|word| word.trim_ascii().eq_ignore_ascii_case(b"close"))
    {
        *reuse = Reuse::Close;
    }
    Ok(())
}

/// Whether a field says that the body is compressed.
fn is_compressed(field: &httparse::Header<'_>) -> bool {
    field.name.eq_ignore_ascii_case("content-encoding") && !field.value.trim_ascii().eq_ignore_ascii_case(b"identity")
}

fn length(value: &[u8]) -> Result<u64, Malformed> {
    let digits = std::str::from_utf8(value).ok().filter(|text| !text.starts_with('+'));
    digits.and_then(|text| text.parse().ok()).ok_or(Malformed("the Content-Length of an answer is no number"))
}

#[cfg(test)]
mod tests {
    use paylab_core::witness::attempt::{Acknowledgement, AttemptOutcome, Uncertainty};

    use super::*;

    const NEW: AttemptOutcome = AttemptOutcome::Acknowledged(Acknowledgement::New);

    fn shape() -> Shape {
        Shape::new(&crate::load::tests::load(serde_json::json!({"claim": "AtLeastOnce"})))
    }

    /// What has come after a response was fed in pieces.
    fn read(bytes: &[u8], piece: usize) -> Result<Received, Malformed> {
        let shape = shape();
        let (mut reader, mut received) = (ResponseReader::new(&shape), Received::Partial);
        for part in bytes.chunks(piece) {
            received = reader.take(part)?;
        }
        Ok(received)
    }

    const fn whole(status: u16, outcome: AttemptOutcome, reuse: Reuse) -> Received {
        let meaning = Meaning { outcome, rule: Rule::Absent };
        Received::Whole(ResponseHead { status, meaning, reuse })
    }

    #[test]
    fn responses_read_the_same_however_they_are_cut() {
        let kept = whole(200, NEW, Reuse::Keep);
        let closed = whole(200, NEW, Reuse::Close);
        for (text, received) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", kept),
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nConnection: Close\r\n\r\nhi", closed),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", kept),
            ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", closed),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", kept),
            ("HTTP/1.1 204 No\r\n\r\n", whole(204, AttemptOutcome::Unknown(Uncertainty::Garbled), Reuse::Keep)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh", Received::Partial),
            ("HTTP/1.1 200 OK\r\n\r\nhi", Received::Partial),
            (
                "HTTP/1.1 200 OK\r\nidempotency-replayed: true\r\nContent-Length: 0\r\n\r\n",
                whole(200, AttemptOutcome::Acknowledged(Acknowledgement::Repeat), Reuse::Keep),
            ),
        ] {
            for piece in 1..=text.len() {
                assert_eq!(read(text.as_bytes(), piece), Ok(received), "{text:?} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn bytes_behind_a_response_make_its_connection_useless() {
        let received = read(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1", 100);
        assert_eq!(received, Ok(whole(200, NEW, Reuse::Close)));
    }

    #[test]
    fn a_body_without_a_length_ends_with_its_connection() {
        let shape = shape();
        let mut reader = ResponseReader::new(&shape);
        assert_eq!(reader.take(b"HTTP/1.1 200 OK\r\n\r\nhi"), Ok(Received::Partial));
        assert_eq!(reader.end(), whole(200, NEW, Reuse::Close));
        let mut cut = ResponseReader::new(&shape);
        cut.take(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi").unwrap();
        assert_eq!(cut.end(), Received::Partial);
    }

    #[test]
    fn large_heads_are_read_and_the_beginning_of_a_refusal_is_kept() {
        let fields: String = (0..900).map(|number| format!("X-{number}: {}\r\n", "x".repeat(80))).collect();
        let text = format!("HTTP/1.1 422 No\r\n{fields}Content-Length: 400\r\n\r\n{}", "because ".repeat(50));
        let shape = shape();
        let mut reader = ResponseReader::new(&shape);
        let mut received = Received::Partial;
        for part in text.as_bytes().chunks(1000) {
            received = reader.take(part).unwrap();
        }
        let refused = AttemptOutcome::Rejected(paylab_core::witness::attempt::Rejection::Refused);
        assert_eq!(received, whole(422, refused, Reuse::Keep));
        let Received::Whole(head) = received else { unreachable!("it is whole") };
        let beginning = reader.understand(head).beginning;
        assert!(beginning.starts_with(b"because because") && beginning.len() == BEGINNING_LEN, "{beginning:?}");
    }

    #[test]
    fn bytes_that_are_not_http_are_refused() {
        let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(HEAD_LEN_MAX));
        for text in [
            "garbage\r\n\r\n",
            "HTTP/2 200\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n",
            &endless,
        ] {
            assert!(read(text.as_bytes(), 1000).is_err(), "{text:.60}");
        }
    }
}
