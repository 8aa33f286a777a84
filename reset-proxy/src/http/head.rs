//! Reads the head of a message, whichever message it is.

use std::{borrow::Cow, mem::MaybeUninit};

use httparse::{Error, Header, Status};
use paylab_core::witness::record::BytesReason;

use crate::transport::buffer::BUFFER_LEN_MAX;

/// Room for the fields of a usual head.
const FIELDS_USUAL: usize = 64;

/// How large a head may be. A larger one is not read as HTTP/1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadLimits {
    /// In bytes, with the empty line at its end.
    pub(crate) len_max: usize,
    pub(crate) fields_max: usize,
}

/// What the bytes at the front of a stream are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ParsedHead<T> {
    /// A whole head.
    Whole(T),
    /// The beginning of a head, as far as the bytes show.
    Partial,
    /// Not a head that can be read.
    Unreadable(BytesReason),
}

/// A head that was read, with its length in bytes.
pub(crate) struct SizedHead<T> {
    pub(crate) len: usize,
    pub(crate) head: Result<T, BytesReason>,
}

/// What the library can say of a head.
pub(crate) type Parsed<T> = Result<Status<SizedHead<T>>, Error>;

impl HeadLimits {
    /// As large as curl and Node take them, and more than any of the large servers takes.
    pub(crate) const DEFAULT: Self = Self { len_max: 100 * 1024, fields_max: 1000 };

    /// A buffer that holds so many bytes holds every head that is read.
    pub(crate) fn buffer_len(self) -> usize {
        self.len_max.max(BUFFER_LEN_MAX)
    }
}

/// Reads the head at the front of `bytes`. The result does not depend on what follows the head.
pub(crate) fn parse<T>(
    bytes: &[u8],
    limits: HeadLimits,
    read: impl for<'b> Fn(&'b [u8], &mut [MaybeUninit<Header<'b>>]) -> Parsed<T>,
) -> ParsedHead<T> {
    let parsed = match parse_fields(bytes, limits, &read) {
        Err(Error::HeaderName) => match unfolded(bytes) {
            Cow::Owned(unfolded) => parse_fields(&unfolded, limits, &read),
            Cow::Borrowed(_) => Err(Error::HeaderName),
        },
        parsed => parsed,
    };
    match parsed {
        Ok(Status::Complete(SizedHead { len, .. })) if len > limits.len_max => {
            ParsedHead::Unreadable(BytesReason::HeadTooLong)
        }
        Ok(Status::Complete(SizedHead { len: _, head: Ok(head) })) => ParsedHead::Whole(head),
        Ok(Status::Complete(SizedHead { len: _, head: Err(reason) })) => ParsedHead::Unreadable(reason),
        Ok(Status::Partial) if bytes.len() >= limits.len_max => ParsedHead::Unreadable(BytesReason::HeadTooLong),
        Ok(Status::Partial) => ParsedHead::Partial,
        Err(Error::TooManyHeaders) => ParsedHead::Unreadable(BytesReason::TooManyFields),
        Err(_) => ParsedHead::Unreadable(BytesReason::NotHttp1),
    }
}

/// Reads with room for as many fields as the head needs, up to the limit.
fn parse_fields<T>(
    bytes: &[u8],
    limits: HeadLimits,
    read: &impl for<'b> Fn(&'b [u8], &mut [MaybeUninit<Header<'b>>]) -> Parsed<T>,
) -> Parsed<T> {
    let mut usual = [const { MaybeUninit::uninit() }; FIELDS_USUAL];
    let usual = &mut usual[..FIELDS_USUAL.min(limits.fields_max)];
    match read(bytes, usual) {
        Err(Error::TooManyHeaders) if limits.fields_max > FIELDS_USUAL => {
            read(bytes, &mut vec![MaybeUninit::uninit(); limits.fields_max])
        }
        parsed => parsed,
    }
}

/// The head with each folded field on one line, as its recipient reads it (RFC 9112, section 5.2). It has the same length.
fn unfolded(bytes: &[u8]) -> Cow<'_, [u8]> {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let mut lines = 0;
    let mut unfolded: Option<Vec<u8>> = None;
    for at in (0..bytes.len()).filter(|at| bytes[*at] == b'\n') {
        // The first line has no field that could go on.
        lines += 1;
        if lines > 1 && is_blank(bytes.get(at + 1)) {
            let text = unfolded.get_or_insert_with(|| bytes.to_vec());
            text[at] = b' ';
            if bytes[at - 1] == b'\r' {
                text[at - 1] = b' ';
            }
        }
        if matches!(&bytes[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]) {
            break;
        }
    }
    unfolded.map_or(Cow::Borrowed(bytes), Cow::Owned)
}

#[cfg(any(fuzzing, test))]
impl<T> ParsedHead<T> {
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> ParsedHead<U> {
        match self {
            Self::Whole(head) => ParsedHead::Whole(change(head)),
            Self::Partial => ParsedHead::Partial,
            Self::Unreadable(reason) => ParsedHead::Unreadable(reason),
        }
    }
}
