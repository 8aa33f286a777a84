//! An HTTP/1.1 answer, read as its bytes come, and what the client may believe after it. It must not know of sockets.

use paylab_experiment::{
    contract::REPLAYED_HEADER,
    history::{Answer, Doubt, Outcome, Rejection},
};

use crate::chunks::Chunks;

/// Longer heads are not taken for HTTP, in bytes.
const HEAD_LEN_MAX: usize = 16 * 1024;
/// More header fields are not taken for HTTP.
const FIELDS_MAX: usize = 64;

/// The bytes are no HTTP/1 answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what came back is not HTTP")]
pub(crate) struct Malformed;

/// Reads one answer; interim ones (1xx) are skipped.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// The bytes of a head that is not whole yet.
    pending: Vec<u8>,
    open: Option<(Head, Body)>,
}

/// How much of an answer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Not all of it.
    Partial,
    /// All of it.
    Whole(Head),
}

/// What the head of an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// The status of the final answer.
    pub(crate) status: u16,
    /// Whether it is the answer to this request or one that was stored.
    pub(crate) origin: Origin,
    /// What becomes of the connection.
    pub(crate) after: After,
}

/// Where an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Made for this request.
    Fresh,
    /// Stored for an earlier request and sent again.
    Replayed,
}

/// What becomes of a connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// It ends.
    Close,
    /// It can carry another request.
    Keep,
}

/// Where the body of an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Length { left: u64 },
    Chunked(Chunks),
    UntilEnd,
}

impl Head {
    /// Whether the status is a 2xx.
    pub(crate) const fn is_success(self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// What the client may believe after this answer, once all of it has come.
    pub(crate) const fn outcome(self) -> Outcome {
        match (self.status, self.origin) {
            (208, _) | (200..=202, Origin::Replayed) => Outcome::Acknowledged(Answer::Repeat),
            (200..=202, Origin::Fresh) => Outcome::Acknowledged(Answer::New),
            (409 | 425 | 429 | 500..=599, _) => Outcome::Unknown(Doubt::Retryable),
            (400..=499, _) => Outcome::Rejected(Rejection::Refused),
            _ => Outcome::Unknown(Doubt::Garbled),
        }
    }
}

impl Reader {
    /// Takes bytes as they come; the data of the body goes to `sink`, with the head it belongs to.
    pub(crate) fn take(&mut self, bytes: &[u8], mut sink: impl FnMut(Head, &[u8])) -> Result<Stage, Malformed> {
        if let Some((head, body)) = &mut self.open {
            return body.take(*head, bytes, &mut sink);
        }
        self.pending.extend_from_slice(bytes);
        while let Some((len, head, mut body)) = parse(&self.pending)? {
            if is_interim(head.status) {
                self.pending.drain(..len);
                continue;
            }
            let stage = body.take(head, &self.pending[len..], &mut sink);
            self.open = Some((head, body));
            return stage;
        }
        if self.pending.len() > HEAD_LEN_MAX { Err(Malformed) } else { Ok(Stage::Partial) }
    }

    /// The connection has ended cleanly: that may be the end of the answer, too.
    pub(crate) fn end(&self) -> Stage {
        match self.open {
            Some((head, Body::UntilEnd)) => Stage::Whole(head),
            Some((_, Body::Length { .. } | Body::Chunked(_))) | None => Stage::Partial,
        }
    }
}

impl Body {
    fn take(&mut self, head: Head, bytes: &[u8], sink: &mut impl FnMut(Head, &[u8])) -> Result<Stage, Malformed> {
        let used = match self {
            Self::Length { left } => {
                let len = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                sink(head, &bytes[..len]);
                *left -= len as u64;
                len
            }
            Self::Chunked(chunks) => chunks.take(bytes, |data| sink(head, data))?,
            Self::UntilEnd => {
                sink(head, bytes);
                bytes.len()
            }
        };
        // Bytes that nobody asked for make the connection useless for another request.
        let after = if used < bytes.len() { After::Close } else { head.after };
        match self {
            Self::Length { left: 0 } | Self::Chunked(Chunks::Ended) => Ok(Stage::Whole(Head { after, ..head })),
            Self::Length { .. } | Self::Chunked(_) | Self::UntilEnd => Ok(Stage::Partial),
        }
    }
}

const fn is_interim(status: u16) -> bool {
    matches!(status, 100 | 102..=199)
}

/// The first head in `bytes` with its length; `None` while it is not whole.
fn parse(bytes: &[u8]) -> Result<Option<(usize, Head, Body)>, Malformed> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut answer = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(len) = answer.parse(bytes).map_err(|_| Malformed)? else { return Ok(None) };
    let (Some(status), Some(version)) = (answer.code, answer.version) else { return Err(Malformed) };
    let after = if version == 0 { After::Close } else { After::Keep };
    let mut head = Head { status, origin: Origin::Fresh, after };
    let mut body = Body::UntilEnd;
    for field in answer.headers.iter() {
        read_field(field, &mut head, &mut body)?;
    }
    if matches!(status, 204 | 304) {
        body = Body::Length { left: 0 };
    }
    if body == Body::UntilEnd {
        head.after = After::Close;
    }
    Ok(Some((len, head, body)))
}

fn read_field(field: &httparse::Header<'_>, head: &mut Head, body: &mut Body) -> Result<(), Malformed> {
    let value = field.value.trim_ascii();
    if field.name.eq_ignore_ascii_case("content-length") {
        let left = length(value)?;
        match *body {
            Body::UntilEnd => *body = Body::Length { left },
            Body::Length { left: earlier } if earlier != left => return Err(Malformed),
            Body::Length { .. } | Body::Chunked(_) => {}
        }
    } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
        let chunked = value.eq_ignore_ascii_case(b"chunked");
        *body = if chunked { Body::Chunked(Chunks::START) } else { return Err(Malformed) };
    } else if field.name.eq_ignore_ascii_case("connection") {
        if value.split(|byte| *byte == b',').any(|word| word.trim_ascii().eq_ignore_ascii_case(b"close")) {
            head.after = After::Close;
        }
    } else if field.name.eq_ignore_ascii_case(REPLAYED_HEADER) && value.eq_ignore_ascii_case(b"true") {
        head.origin = Origin::Replayed;
    }
    Ok(())
}

fn length(value: &[u8]) -> Result<u64, Malformed> {
    let text = std::str::from_utf8(value).map_err(|_| Malformed)?;
    if text.starts_with('+') { Err(Malformed) } else { text.parse().map_err(|_| Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer fed in pieces, and its body.
    fn read(bytes: &[u8], piece: usize) -> Result<(Stage, Vec<u8>), Malformed> {
        let (mut reader, mut body, mut stage) = (Reader::default(), Vec::new(), Stage::Partial);
        for part in bytes.chunks(piece) {
            stage = reader.take(part, |_, data| body.extend_from_slice(data))?;
        }
        Ok((stage, body))
    }

    const fn whole(status: u16, origin: Origin, after: After) -> Stage {
        Stage::Whole(Head { status, origin, after })
    }

    #[test]
    fn answers_read_the_same_however_they_are_cut() {
        let kept = whole(200, Origin::Fresh, After::Keep);
        let closed = whole(200, Origin::Fresh, After::Close);
        for (text, stage, body) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", kept, ""),
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nConnection: Close\r\n\r\nhi", closed, "hi"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", kept, "hi"),
            ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", closed, "hi"),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
                kept,
                "hi",
            ),
            ("HTTP/1.1 204 No\r\n\r\n", whole(204, Origin::Fresh, After::Keep), ""),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh", Stage::Partial, "h"),
            ("HTTP/1.1 200 OK\r\n\r\nhi", Stage::Partial, "hi"),
            (
                "HTTP/1.1 200 OK\r\nidempotency-replayed: true\r\nContent-Length: 0\r\n\r\n",
                whole(200, Origin::Replayed, After::Keep),
                "",
            ),
        ] {
            for piece in 1..=text.len() {
                assert_eq!(read(text.as_bytes(), piece), Ok((stage, body.into())), "{text:?} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn bytes_behind_an_answer_make_its_connection_useless() {
        let (stage, _) = read(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1", 100).unwrap();
        assert_eq!(stage, whole(200, Origin::Fresh, After::Close));
    }

    #[test]
    fn a_body_without_a_length_ends_with_its_connection() {
        let mut reader = Reader::default();
        assert_eq!(reader.take(b"HTTP/1.1 200 OK\r\n\r\nhi", |_, _| {}), Ok(Stage::Partial));
        assert_eq!(reader.end(), whole(200, Origin::Fresh, After::Close));
        let mut cut = Reader::default();
        cut.take(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi", |_, _| {}).unwrap();
        assert_eq!(cut.end(), Stage::Partial);
    }

    #[test]
    fn what_is_not_http_is_refused() {
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
            &endless,
        ] {
            assert_eq!(read(text.as_bytes(), 1000), Err(Malformed), "{text:.60}");
        }
    }

    #[test]
    fn a_status_says_what_may_be_believed() {
        let outcome = |status, origin| Head { status, origin, after: After::Close }.outcome();
        for status in [200, 201, 202] {
            assert_eq!(outcome(status, Origin::Fresh), Outcome::Acknowledged(Answer::New), "{status}");
            assert_eq!(outcome(status, Origin::Replayed), Outcome::Acknowledged(Answer::Repeat), "{status}");
        }
        assert_eq!(outcome(208, Origin::Fresh), Outcome::Acknowledged(Answer::Repeat));
        for status in [400, 401, 403, 404, 405, 413, 415, 422] {
            assert_eq!(outcome(status, Origin::Fresh), Outcome::Rejected(Rejection::Refused), "{status}");
        }
        for status in [409, 425, 429, 500, 502, 503, 504] {
            assert_eq!(outcome(status, Origin::Fresh), Outcome::Unknown(Doubt::Retryable), "{status}");
        }
        for status in [101, 203, 204, 206, 301, 304, 600, 999] {
            assert_eq!(outcome(status, Origin::Fresh), Outcome::Unknown(Doubt::Garbled), "{status}");
        }
    }
}
