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
    /// That it is in a coding that does not show its end.
    Undelimited,
    /// Different things, or nothing that can be read.
    Unclear,
}

/// What the codings of a body come to, in the order in which they are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    /// Nothing: the body is as it is.
    Identity,
    /// The last one is chunked, so that the body shows its end.
    Chunked,
    /// The body does not show its end.
    Other,
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

    /// How many of the next bytes are data of the body, whatever they are.
    pub(crate) const fn data_ahead(&self) -> u64 {
        match self {
            Self::Length(left) | Self::Chunked(Chunked::Data { left }) => *left,
            Self::Chunked(_) => 0,
            Self::UntilEnd => u64::MAX,
        }
    }

    /// Takes bytes that nobody has looked at. There must not be more of them than [`Self::data_ahead`] says.
    pub(crate) const fn take_unseen(&mut self, count: u64) {
        match self {
            Self::Length(left) => *left = left.saturating_sub(count),
            Self::Chunked(chunked) => chunked.take_unseen(count),
            Self::UntilEnd => {}
        }
    }

    /// Whether the last byte of the body was taken.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunked::Done))
    }

    /// Whether the body ends where the stream ends.
    pub(crate) fn ends_with_stream(&self) -> bool {
        matches!(self, Self::UntilEnd)
    }

    /// Whether the body is not in chunks although it should be, so that nobody knows where it ends.
    pub(crate) fn is_broken(&self) -> bool {
        matches!(self, Self::Chunked(Chunked::Broken))
    }
}

/// Reads `Transfer-Encoding` and `Content-Length`.
pub(crate) fn framing(fields: &[Header<'_>]) -> Framing {
    let mut length = None;
    let mut coding = None;
    for field in fields {
        if field.name.eq_ignore_ascii_case("transfer-encoding") {
            coding = list(field.value).fold(coding, |coding, name| Some(Coding::after(coding, name)));
        } else if field.name.eq_ignore_ascii_case("content-length") {
            for value in list(field.value) {
                match content_length(value) {
                    Some(value) if length.is_none_or(|earlier| earlier == value) => length = Some(value),
                    Some(_) | None => return Framing::Unclear,
                }
            }
        }
    }
    match (coding, length) {
        (Some(Coding::Chunked), _) => Framing::Chunked,
        (Some(Coding::Other), _) => Framing::Undelimited,
        (Some(Coding::Identity) | None, Some(length)) => Framing::Length(length),
        (Some(Coding::Identity) | None, None) => Framing::Absent,
    }
}

impl Coding {
    /// What the codings come to with one more of them.
    fn after(coding: Option<Self>, name: &[u8]) -> Self {
        match coding {
            None | Some(Self::Identity) if name.eq_ignore_ascii_case(b"identity") => Self::Identity,
            None | Some(Self::Identity | Self::Other) if name.eq_ignore_ascii_case(b"chunked") => Self::Chunked,
            None | Some(Self::Identity | Self::Chunked | Self::Other) => Self::Other,
        }
    }
}

/// The members of a list of values.
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

fn content_length(digits: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(digits).ok()?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}
