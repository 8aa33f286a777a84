//! The head of a response: where it ends, how its body ends, and whether the connection goes on after it.

use httparse::{Header, ParserConfig, Response, Status};
use paylab_core::witness::record::BytesReason;
use paylab_part::chunked::Chunked;

use crate::http::{
    body::{BodyEnd, Framing, framing},
    head::{HeadLimits, ParsedHead, SizedHead, parse},
    request::Method,
};

/// What the proxy must know of a response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ResponseHead {
    /// The length of the head in bytes.
    pub(crate) len: usize,
    pub(crate) status: u16,
    pub(crate) body: BodyEnd,
    pub(crate) persistence: Persistence,
}

/// Whether the response announces that the connection carries another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persistence {
    Kept,
    Closing,
}

/// Parses the head of a response at the front of `bytes`, which answers a request with this method.
pub(crate) fn parse_response(bytes: &[u8], method: Method, limits: HeadLimits) -> ParsedHead<ResponseHead> {
    let mut config = ParserConfig::default();
    // curl takes such fields, and so do browsers.
    config.allow_spaces_after_header_name_in_responses(true);
    // Go takes such a line.
    config.allow_multiple_spaces_in_response_status_delimiters(true);
    parse(bytes, limits, |bytes, fields| {
        let mut response = Response::new(&mut []);
        let status = config.parse_response_with_uninit_headers(&mut response, bytes, fields)?;
        let Status::Complete(len) = status else { return Ok(Status::Partial) };
        Ok(Status::Complete(SizedHead { len, head: response_head(len, &response, method) }))
    })
}

fn response_head(len: usize, response: &Response<'_, '_>, method: Method) -> Result<ResponseHead, BytesReason> {
    let status = response.code.unwrap_or_default();
    let body = match (framing(response.headers), method, status) {
        (_, Method::Head, _) | (_, _, 100..=199 | 204 | 304) | (_, Method::Connect, 200..=299) => BodyEnd::Length(0),
        (Framing::Length(length), _, _) => BodyEnd::Length(length),
        (Framing::Chunked, _, _) => BodyEnd::Chunked(Chunked::START),
        (Framing::Absent | Framing::Undelimited, _, _) => BodyEnd::UntilEnd,
        (Framing::Unclear, _, _) => return Err(BytesReason::LengthUnclear),
    };
    let persistence = if body == BodyEnd::UntilEnd { Persistence::Closing } else { persistence(response.headers) };
    Ok(ResponseHead { len, status, body, persistence })
}

impl ResponseHead {
    /// Whether another response to the same request follows this one.
    pub(crate) const fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }

    /// Whether the connection carries another protocol after this response.
    pub(crate) fn switches_protocol(&self, method: Method) -> bool {
        self.status == 101 || method == Method::Connect && (200..300).contains(&self.status)
    }
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
    use proptest::prelude::*;

    use super::*;

    fn whole(text: &str, method: Method) -> ResponseHead {
        match parse_response(text.as_bytes(), method, HeadLimits::DEFAULT) {
            ParsedHead::Whole(head) => head,
            other => panic!("{text:?} is {other:?}"),
        }
    }

    #[test]
    fn a_response_ends_as_its_status_its_head_and_the_method_say() {
        let length = "Content-Length: 9\r\n";
        for (status, fields, method, body) in [
            (200, length, Method::Other, BodyEnd::Length(9)),
            (200, length, Method::Head, BodyEnd::Length(0)),
            (204, "", Method::Other, BodyEnd::Length(0)),
            (304, length, Method::Other, BodyEnd::Length(0)),
            (100, "", Method::Other, BodyEnd::Length(0)),
            (200, "", Method::Connect, BodyEnd::Length(0)),
            (200, "", Method::Other, BodyEnd::UntilEnd),
            (200, "Transfer-Encoding: chunked\r\n", Method::Other, BodyEnd::Chunked(Chunked::START)),
            (200, "Transfer-Encoding: gzip\r\n", Method::Other, BodyEnd::UntilEnd),
            (200, "Folded: a\r\n  b\r\nContent-Length : 9\r\n", Method::Other, BodyEnd::Length(9)),
        ] {
            let head = whole(&format!("HTTP/1.1 {status} Whatever\r\n{fields}\r\n"), method);
            assert_eq!((head.status, head.body), (status, body), "{status} {fields:?} {method:?}");
        }
    }

    #[test]
    fn a_response_whose_end_is_unclear_cannot_be_read() {
        for fields in ["Content-Length: x\r\n", "Content-Length: 1\r\nContent-Length: 2\r\n"] {
            let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
            let parsed = parse_response(text.as_bytes(), Method::Other, HeadLimits::DEFAULT);
            assert_eq!(parsed, ParsedHead::Unreadable(BytesReason::LengthUnclear), "{fields:?}");
        }
    }

    #[test]
    fn interim_switching_and_closing_responses_are_told_apart() {
        let head = |status: u16, fields: &str| whole(&format!("HTTP/1.1 {status} X\r\n{fields}\r\n"), Method::Other);
        let interim: Vec<_> = [100, 101, 103, 200].map(|status| head(status, "").is_interim()).into();
        assert_eq!(interim, [true, false, true, false]);
        assert!(head(101, "").switches_protocol(Method::Other) && head(200, "").switches_protocol(Method::Connect));
        assert!(!head(200, "").switches_protocol(Method::Other));
        assert_eq!(head(200, "Connection: x, Close\r\n").persistence, Persistence::Closing);
        assert_eq!(head(200, "Connection: keep-alive\r\nContent-Length: 0\r\n").persistence, Persistence::Kept);
        assert_eq!(head(200, "Connection: keep-alive\r\n").persistence, Persistence::Closing);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_response(&bytes, Method::Other, HeadLimits::DEFAULT);
        }
    }
}
