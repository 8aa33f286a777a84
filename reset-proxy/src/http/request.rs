//! The head of a request: where it ends, how its body ends, and which attempt it names.

use httparse::{Header, ParserConfig, Request, Status};
use paylab_core::{payment::AttemptId, witness::record::BytesReason};
use paylab_part::{chunked::Chunked, contract::ATTEMPT_HEADER};

use crate::http::{
    body::{BodyEnd, Framing, framing},
    head::{HeadLimits, ParsedHead, SizedHead, parse},
};

/// What the proxy must know of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RequestHead {
    /// The length of the head in bytes.
    pub(crate) len: usize,
    pub(crate) body: BodyEnd,
    pub(crate) method: Method,
    /// The value of `Paylab-Attempt`, if the header is present and well formed.
    pub(crate) attempt: Option<AttemptId>,
}

/// The methods on which the end of the response depends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Head,
    Connect,
    Other,
}

/// Parses the head of a request at the front of `bytes`.
pub(crate) fn parse_request(bytes: &[u8], limits: HeadLimits) -> ParsedHead<RequestHead> {
    let mut config = ParserConfig::default();
    // Node takes such a line.
    config.allow_multiple_spaces_in_request_line_delimiters(true);
    parse(bytes, limits, |bytes, fields| {
        let mut request = Request::new(&mut []);
        let status = config.parse_request_with_uninit_headers(&mut request, bytes, fields)?;
        let Status::Complete(len) = status else { return Ok(Status::Partial) };
        Ok(Status::Complete(SizedHead { len, head: request_head(len, &request) }))
    })
}

fn request_head(len: usize, request: &Request<'_, '_>) -> Result<RequestHead, BytesReason> {
    let body = match framing(request.headers) {
        Framing::Absent => BodyEnd::Length(0),
        Framing::Length(length) => BodyEnd::Length(length),
        Framing::Chunked => BodyEnd::Chunked(Chunked::START),
        Framing::Undelimited | Framing::Unclear => return Err(BytesReason::LengthUnclear),
    };
    let method = match request.method {
        Some("HEAD") => Method::Head,
        Some("CONNECT") => Method::Connect,
        Some(_) | None => Method::Other,
    };
    Ok(RequestHead { len, body, method, attempt: attempt(request.headers) })
}

fn attempt(fields: &[Header<'_>]) -> Option<AttemptId> {
    let field = fields.iter().find(|field| field.name.eq_ignore_ascii_case(ATTEMPT_HEADER))?;
    std::str::from_utf8(field.value.trim_ascii()).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use paylab_core::payment::PaymentId;
    use proptest::prelude::*;

    use super::*;

    fn whole(text: &str) -> RequestHead {
        match parse_request(text.as_bytes(), HeadLimits::DEFAULT) {
            ParsedHead::Whole(head) => head,
            other => panic!("{text:?} is {other:?}"),
        }
    }

    fn reason(text: &str) -> BytesReason {
        match parse_request(text.as_bytes(), HeadLimits::DEFAULT) {
            ParsedHead::Unreadable(reason) => reason,
            other => panic!("{text:?} is {other:?}"),
        }
    }

    #[test]
    fn a_request_ends_as_its_head_says() {
        for (fields, body) in [
            ("", BodyEnd::Length(0)),
            ("Content-Length: 12\r\n", BodyEnd::Length(12)),
            ("content-length: 7\r\nContent-Length: 7\r\n", BodyEnd::Length(7)),
            ("Content-Length: 7, 7\r\n", BodyEnd::Length(7)),
            ("Content-Length:\r\n 12\r\nX: y\r\n", BodyEnd::Length(12)),
            ("X: y\r\n\tz\r\n  zz\r\nContent-Length: 3\r\n", BodyEnd::Length(3)),
            ("Transfer-Encoding: identity\r\nContent-Length: 5\r\n", BodyEnd::Length(5)),
            ("Transfer-Encoding: gzip, Chunked\r\nContent-Length: 5\r\n", BodyEnd::Chunked(Chunked::START)),
        ] {
            let text = format!("POST /payments/ HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
            let head = whole(&text);
            assert_eq!((head.body, head.len), (body, text.len()), "{fields:?}");
        }
    }

    #[test]
    fn a_request_that_cannot_be_read_has_a_reason() {
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(1001));
        let long = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "b".repeat(100 * 1024));
        for (text, expected) in [
            ("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", BytesReason::LengthUnclear),
            ("POST / HTTP/1.1\r\nContent-Length: 5, 6\r\n\r\n", BytesReason::LengthUnclear),
            ("POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\n", BytesReason::LengthUnclear),
            ("POST / HTTP/1.1\r\nContent-Length: \r\n\r\n", BytesReason::LengthUnclear),
            ("POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", BytesReason::LengthUnclear),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", BytesReason::LengthUnclear),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BytesReason::NotHttp1),
            ("\x16\x03\x01\x02", BytesReason::NotHttp1),
            ("GET / HTTP/1.1\r\nno colon\r\n\r\n", BytesReason::NotHttp1),
            ("GET / HTTP/1.1\r\n folded: first\r\n\r\n", BytesReason::NotHttp1),
            (&many, BytesReason::TooManyFields),
            (&long, BytesReason::HeadTooLong),
            (&long[..long.len() - 9], BytesReason::HeadTooLong),
        ] {
            assert_eq!(reason(text), expected, "{text:.80?}");
        }
    }

    #[test]
    fn a_head_as_large_as_large_servers_take_is_read() {
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(1000));
        let long = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "b".repeat(99 * 1024));
        assert_eq!([whole(&many).len, whole(&long).len], [many.len(), long.len()]);
        let limits = HeadLimits { len_max: 20, fields_max: 2 };
        for (text, expected) in [
            ("GET / HTTP/1.1\r\n\r\n", None),
            ("GET / HTTP/1.1\r\na:b\r\n\r\n", Some(BytesReason::HeadTooLong)),
            ("GET / HTTP/1.1\r\na:\r\n", Some(BytesReason::HeadTooLong)),
        ] {
            match parse_request(text.as_bytes(), limits) {
                ParsedHead::Unreadable(reason) => assert_eq!(Some(reason), expected, "{text:?}"),
                ParsedHead::Whole(_) | ParsedHead::Partial => assert_eq!(None, expected, "{text:?}"),
            }
        }
    }

    #[test]
    fn the_attempt_header_is_found_in_any_letter_case_and_a_malformed_one_is_ignored() {
        let attempt = |value: &str| whole(&format!("GET / HTTP/1.1\r\npaylab-ATTEMPT: {value}\r\n\r\n")).attempt;
        assert_eq!(attempt(" 38/3 "), Some(AttemptId { payment: PaymentId(38), attempt: 3 }));
        for value in ["", "38", "38/0", "x/1", "1/1/1", "\u{e9}/1"] {
            assert_eq!(attempt(value), None, "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn the_beginning_of_a_head_is_partial_and_never_taken_for_a_whole_head(cut in 1_usize..200) {
            let text = b"POST /payments/ HTTP/1.1\r\nHost: lab\r\nPaylab-Attempt: 7/2\r\nContent-Length: 3\r\n\r\nabc";
            let len = text.len() - 3;
            let front = &text[..cut.min(text.len())];
            match parse_request(front, HeadLimits::DEFAULT) {
                ParsedHead::Whole(head) => prop_assert!(front.len() >= len && head.len == len),
                other => prop_assert!(front.len() < len && other == ParsedHead::Partial),
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_request(&bytes, HeadLimits::DEFAULT);
            let mut chunked = Chunked::START;
            prop_assert!(chunked.take(&bytes) <= bytes.len());
        }
    }
}
