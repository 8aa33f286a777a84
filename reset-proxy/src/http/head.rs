//! What reading the head of a message gives, whichever message it is.

/// A head with more fields than this is not read as HTTP/1.
pub(crate) const FIELDS_MAX: usize = 128;

/// What the bytes at the front of a stream are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ParsedHead<T> {
    /// A whole head.
    Whole(T),
    /// The beginning of a head, as far as the bytes show.
    Partial,
    /// Not HTTP/1.
    Foreign,
}

#[cfg(fuzzing)]
impl<T> ParsedHead<T> {
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> ParsedHead<U> {
        match self {
            Self::Whole(head) => ParsedHead::Whole(change(head)),
            Self::Partial => ParsedHead::Partial,
            Self::Foreign => ParsedHead::Foreign,
        }
    }
}
