//! Where the body of a message ends: what the header fields say about it, and how much of it is still to come.

use httparse::Header;

use paylab_part::chunked::Chunked;

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyEnd {
    /// After this many more bytes.
    Length(u64),
    /// After its last chunk.
    Chunked(Chunked),
    /// With the end of the stream.
    UntilEnd,
}

/// What the header fields say about the end of the body.
pub(crate) enum Framing {
    /// Nothing.
    Absent,
    Length(u64),
    Chunked,
    /// The fields contradict each other or name a coding whose end is not known.
    Unclear,
}

impl BodyEnd {
    /// Takes bytes from the stream and returns how many of them belong to the body.
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

    /// Whether the last byte of the body was taken.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunked::Done))
    }

    /// Whether the body ends where the stream ends.
    pub(crate) fn ends_with_stream(&self) -> bool {
        matches!(self, Self::UntilEnd | Self::Chunked(Chunked::Broken))
    }
}

/// Reads `Transfer-Encoding` and `Content-Length`.
pub(crate) fn framing(fields: &[Header<'_>]) -> Framing {
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
        (None, None) => Framing::Absent,
    }
}

fn content_length(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value.trim_ascii()).ok()?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}
