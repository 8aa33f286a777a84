//! The boundaries of HTTP/1 messages: where a head ends, how its body ends, which attempt it is. Nothing is rebuilt,
//! and nothing here must know of sockets or faults.

use std::mem::MaybeUninit;

use httparse::{Header, ParserConfig, Request, Response, Status};
use paylab_experiment::{contract::ATTEMPT_HEADER, payment::AttemptId};

use crate::http::chunked::Chunked;

/// A head with more fields than this is not understood.
const FIELDS_MAX: usize = 128;

/// What the bytes at the front of a stream are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed<T> {
    /// A whole head.
    Whole(T),
    /// The beginning of a head, as far as can be told.
    Partial,
    /// Not HTTP/1.
    Foreign,
}

/// What the proxy must know of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RequestHead {
    /// Its length in bytes.
    pub(crate) len: usize,
    pub(crate) body: Body,
    pub(crate) method: Method,
    /// What `Paylab-Attempt` says, if it is there and well formed.
    pub(crate) attempt: Option<AttemptId>,
}

/// What the proxy must know of a response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ResponseHead {
    /// Its length in bytes.
    pub(crate) len: usize,
    pub(crate) status: u16,
    pub(crate) body: Body,
    pub(crate) persistence: Persistence,
}

/// The methods whose responses end in a way of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Head,
    Connect,
    Other,
}

/// Whether the connection is said to carry another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persistence {
    Kept,
    Closing,
}

/// Where a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// After so many more bytes.
    Length(u64),
    /// After its last chunk.
    Chunked(Chunked),
    /// With the stream.
    UntilEnd,
}

/// What the header fields say about the end of the body.
enum Framing {
    Unsaid,
    Length(u64),
    Chunked,
    /// Something that no length can be told from.
    Unclear,
}

/// Finds the head of a request at the front of `bytes`.
pub(crate) fn request(bytes: &[u8]) -> Parsed<RequestHead> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut request = Request::new(&mut []);
    let len = match ParserConfig::default().parse_request_with_uninit_headers(&mut request, bytes, &mut fields) {
        Ok(Status::Complete(len)) => len,
        Ok(Status::Partial) => return Parsed::Partial,
        Err(_) => return Parsed::Foreign,
    };
    let body = match framing(request.headers) {
        Framing::Unsaid => Body::Length(0),
        Framing::Length(length) => Body::Length(length),
        Framing::Chunked => Body::Chunked(Chunked::START),
        Framing::Unclear => return Parsed::Foreign,
    };
    let method = match request.method {
        Some("HEAD") => Method::Head,
        Some("CONNECT") => Method::Connect,
        Some(_) | None => Method::Other,
    };
    Parsed::Whole(RequestHead { len, body, method, attempt: attempt(request.headers) })
}

/// Finds the head of a response at the front of `bytes`, the answer to a request with this method.
pub(crate) fn response(bytes: &[u8], method: Method) -> Parsed<ResponseHead> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut response = Response::new(&mut []);
    let len = match ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, &mut fields) {
        Ok(Status::Complete(len)) => len,
        Ok(Status::Partial) => return Parsed::Partial,
        Err(_) => return Parsed::Foreign,
    };
    let status = response.code.unwrap_or_default();
    let body = match (framing(response.headers), method, status) {
        (_, Method::Head, _) | (_, _, 100..=199 | 204 | 304) | (_, Method::Connect, 200..=299) => Body::Length(0),
        (Framing::Length(length), _, _) => Body::Length(length),
        (Framing::Chunked, _, _) => Body::Chunked(Chunked::START),
        (Framing::Unsaid | Framing::Unclear, _, _) => Body::UntilEnd,
    };
    let persistence = if body == Body::UntilEnd { Persistence::Closing } else { persistence(response.headers) };
    Parsed::Whole(ResponseHead { len, status, body, persistence })
}

#[cfg(fuzzing)]
impl<T> Parsed<T> {
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Parsed<U> {
        match self {
            Self::Whole(head) => Parsed::Whole(change(head)),
            Self::Partial => Parsed::Partial,
            Self::Foreign => Parsed::Foreign,
        }
    }
}

impl ResponseHead {
    /// Whether another response follows this one.
    pub(crate) const fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }

    /// Whether the connection stops being HTTP behind it.
    pub(crate) fn switches(&self, method: Method) -> bool {
        self.status == 101 || method == Method::Connect && (200..300).contains(&self.status)
    }
}

impl Body {
    /// Takes bytes; answers how many of them belong to the body.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> usize {
        match self {
            Self::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                taken
            }
            Self::Chunked(chunked) => chunked.take(bytes),
            Self::UntilEnd => bytes.len(),
        }
    }

    /// Whether its last byte was taken.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunked::Done))
    }

    /// Whether the end of the stream is its end.
    pub(crate) fn ends_with_stream(&self) -> bool {
        matches!(self, Self::UntilEnd | Self::Chunked(Chunked::Broken))
    }
}

fn framing(fields: &[Header<'_>]) -> Framing {
    let mut length = None;
    let mut coding: Option<&[u8]> = None;
    for field in fields {
        if field.name.eq_ignore_ascii_case("transfer-encoding") {
            coding = field.value.rsplit(|byte| *byte == b',').next();
        } else if field.name.eq_ignore_ascii_case("content-length") {
            match content_length(field.value) {
                Some(value) if length.is_none_or(|earlier| earlier == value) => length = Some(value),
                Some(_) | None => return Framing::Unclear,
            }
        }
    }
    match (coding, length) {
        (Some(coding), _) if coding.trim_ascii().eq_ignore_ascii_case(b"chunked") => Framing::Chunked,
        (Some(_), _) => Framing::Unclear,
        (None, Some(length)) => Framing::Length(length),
        (None, None) => Framing::Unsaid,
    }
}

fn content_length(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value.trim_ascii()).ok()?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn attempt(fields: &[Header<'_>]) -> Option<AttemptId> {
    let field = fields.iter().find(|field| field.name.eq_ignore_ascii_case(ATTEMPT_HEADER))?;
    std::str::from_utf8(field.value.trim_ascii()).ok()?.parse().ok()
}

fn persistence(fields: &[Header<'_>]) -> Persistence {
    let says_close = |field: &Header<'_>| {
        let mut options = field.value.split(|byte| *byte == b',');
        field.name.eq_ignore_ascii_case("connection")
            && options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
    };
    if fields.iter().any(says_close) { Persistence::Closing } else { Persistence::Kept }
}

#[cfg(test)]
mod tests {
    use paylab_experiment::payment::PaymentId;
    use proptest::prelude::*;

    use super::*;

    fn whole_request(text: &str) -> RequestHead {
        match request(text.as_bytes()) {
            Parsed::Whole(head) => head,
            other => panic!("{text:?} is {other:?}"),
        }
    }

    fn whole_response(text: &str, method: Method) -> ResponseHead {
        match response(text.as_bytes(), method) {
            Parsed::Whole(head) => head,
            other => panic!("{text:?} is {other:?}"),
        }
    }

    #[test]
    fn a_request_ends_as_its_head_says() {
        for (fields, body) in [
            ("", Body::Length(0)),
            ("Content-Length: 12\r\n", Body::Length(12)),
            ("content-length: 7\r\nContent-Length: 7\r\n", Body::Length(7)),
            ("Transfer-Encoding: gzip, Chunked\r\nContent-Length: 5\r\n", Body::Chunked(Chunked::START)),
        ] {
            let text = format!("POST /payments/ HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
            let head = whole_request(&text);
            assert_eq!((head.body, head.len), (body, text.len()), "{fields:?}");
        }
    }

    #[test]
    fn a_request_without_a_clear_end_or_of_another_protocol_is_foreign() {
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(FIELDS_MAX + 1));
        for text in [
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: \r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "\x16\x03\x01\x02",
            "GET / HTTP/1.1\r\nno colon\r\n\r\n",
            &many,
        ] {
            assert_eq!(request(text.as_bytes()), Parsed::Foreign, "{text:?}");
        }
    }

    #[test]
    fn the_attempt_is_found_whatever_the_case_and_a_malformed_one_is_none() {
        let attempt =
            |value: &str| whole_request(&format!("GET / HTTP/1.1\r\npaylab-ATTEMPT: {value}\r\n\r\n")).attempt;
        assert_eq!(attempt(" 38/3 "), Some(AttemptId { payment: PaymentId(38), attempt: 3 }));
        for value in ["", "38", "38/0", "x/1", "1/1/1", "\u{e9}/1"] {
            assert_eq!(attempt(value), None, "{value:?}");
        }
    }

    #[test]
    fn a_response_ends_as_its_status_method_and_head_say() {
        let length = "Content-Length: 9\r\n";
        for (status, fields, method, body) in [
            (200, length, Method::Other, Body::Length(9)),
            (200, length, Method::Head, Body::Length(0)),
            (204, "", Method::Other, Body::Length(0)),
            (304, length, Method::Other, Body::Length(0)),
            (100, "", Method::Other, Body::Length(0)),
            (200, "", Method::Connect, Body::Length(0)),
            (200, "", Method::Other, Body::UntilEnd),
            (200, "Transfer-Encoding: chunked\r\n", Method::Other, Body::Chunked(Chunked::START)),
            (200, "Content-Length: x\r\n", Method::Other, Body::UntilEnd),
        ] {
            let head = whole_response(&format!("HTTP/1.1 {status} Whatever\r\n{fields}\r\n"), method);
            assert_eq!((head.status, head.body), (status, body), "{status} {fields:?} {method:?}");
        }
    }

    #[test]
    fn interim_switching_and_closing_responses_are_told_apart() {
        let head =
            |status: u16, fields: &str| whole_response(&format!("HTTP/1.1 {status} X\r\n{fields}\r\n"), Method::Other);
        let interim: Vec<_> = [100, 101, 103, 200].map(|status| head(status, "").is_interim()).into();
        assert_eq!(interim, [true, false, true, false]);
        assert!(head(101, "").switches(Method::Other) && head(200, "").switches(Method::Connect));
        assert!(!head(200, "").switches(Method::Other));
        assert_eq!(head(200, "Connection: x, Close\r\n").persistence, Persistence::Closing);
        assert_eq!(head(200, "Connection: keep-alive\r\nContent-Length: 0\r\n").persistence, Persistence::Kept);
        assert_eq!(head(200, "Connection: keep-alive\r\n").persistence, Persistence::Closing);
    }

    proptest! {
        #[test]
        fn a_beginning_is_partial_and_never_taken_for_a_head(cut in 1_usize..200) {
            let text = b"POST /payments/ HTTP/1.1\r\nHost: lab\r\nPaylab-Attempt: 7/2\r\nContent-Length: 3\r\n\r\nabc";
            let len = text.len() - 3;
            let front = &text[..cut.min(text.len())];
            match request(front) {
                Parsed::Whole(head) => prop_assert!(front.len() >= len && head.len == len),
                other => prop_assert!(front.len() < len && other == Parsed::Partial),
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = request(&bytes);
            let _ = response(&bytes, Method::Other);
            let mut chunked = Chunked::START;
            prop_assert!(chunked.take(&bytes) <= bytes.len());
        }
    }
}
