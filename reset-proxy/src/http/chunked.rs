//! Finds the end of a chunked body, however its bytes are cut. It must not know what the chunks hold.

/// The longest chunk size that is understood, in hex digits.
const SIZE_DIGITS_MAX: u8 = 15;

/// Where in a chunked body the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chunked {
    /// In the size of a chunk, with its value so far.
    Size { value: u64, digits: u8 },
    /// Behind the size: an extension, or the end of the line.
    SizeLine { value: u64 },
    /// In the data of a chunk, with so many bytes to come.
    Data { left: u64 },
    /// Behind the data: the end of the line.
    DataLine,
    /// At the start of a line of the trailer.
    TrailerStart,
    /// In a line of the trailer.
    TrailerLine,
    /// Behind the carriage return of the last line.
    LastLine,
    /// Behind the last byte.
    Done,
    /// It is not chunked, whatever its head says: every byte belongs to it until the stream ends.
    Broken,
}

impl Chunked {
    /// Before the first byte.
    pub(crate) const START: Self = Self::Size { value: 0, digits: 0 };

    /// Takes bytes; answers how many of them belong to the body.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() && *self != Self::Done {
            if *self == Self::Broken {
                return bytes.len();
            }
            taken += self.step(&bytes[taken..]);
        }
        taken
    }

    /// Takes one byte, or the rest of a chunk's data. `bytes` is not empty.
    fn step(&mut self, bytes: &[u8]) -> usize {
        if let Self::Data { left } = *self {
            let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            let left = left - taken as u64;
            *self = if left == 0 { Self::DataLine } else { Self::Data { left } };
            return taken;
        }
        *self = self.after(bytes[0]);
        1
    }

    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Size { digits: 1.., value }, b'\r' | b';' | b' ' | b'\t') => Self::SizeLine { value },
            (Self::Size { digits: 1.., value }, b'\n') => Self::after_size(value),
            (Self::Size { value, digits }, _) => match char::from(byte).to_digit(16) {
                Some(digit) if digits < SIZE_DIGITS_MAX => {
                    Self::Size { value: value << 4 | u64::from(digit), digits: digits + 1 }
                }
                Some(_) | None => Self::Broken,
            },
            (Self::SizeLine { value }, b'\n') => Self::after_size(value),
            (Self::DataLine, b'\n') => Self::START,
            (Self::DataLine, b'\r') => Self::DataLine,
            (Self::TrailerStart, b'\r') => Self::LastLine,
            (Self::TrailerStart | Self::LastLine, b'\n') => Self::Done,
            (Self::TrailerLine, b'\n') => Self::TrailerStart,
            (Self::TrailerStart | Self::TrailerLine, _) => Self::TrailerLine,
            (Self::SizeLine { .. }, _) => self,
            (Self::DataLine | Self::LastLine | Self::Data { .. } | Self::Broken, _) => Self::Broken,
            (Self::Done, _) => Self::Done,
        }
    }

    const fn after_size(value: u64) -> Self {
        if value == 0 { Self::TrailerStart } else { Self::Data { left: value } }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn taken(pieces: &[&[u8]]) -> (usize, Chunked) {
        let mut chunked = Chunked::START;
        (pieces.iter().map(|piece| chunked.take(piece)).sum(), chunked)
    }

    #[test]
    fn a_chunked_body_ends_behind_its_trailer_and_the_rest_is_not_its_own() {
        for body in [
            "0\r\n\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            "A;x=\"y\"\r\n0123456789\r\n0\r\nSum: 7\r\nX: y\r\n\r\n",
            "1\na\n0\n\n",
        ] {
            let stream = format!("{body}GET / HTTP/1.1\r\n");
            assert_eq!(taken(&[stream.as_bytes()]), (body.len(), Chunked::Done), "{body:?}");
        }
    }

    #[test]
    fn what_is_not_chunked_goes_on_to_the_end_of_the_stream() {
        for body in ["\r\n", "x", "-1\r\n", "1\r\nab", "fffffffffffffffff\r\n", "0\r\n\rx"] {
            assert_eq!(taken(&[body.as_bytes(), b"more"]), (body.len() + 4, Chunked::Broken), "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn the_end_does_not_depend_on_how_the_bytes_are_cut(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
            cut in 1_usize..9,
        ) {
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend(format!("{:x}\r\n", chunk.len()).bytes());
                body.extend(chunk);
                body.extend(b"\r\n");
            }
            body.extend(b"0\r\nTrailer: t\r\n\r\n");
            let len = body.len();
            body.extend(b"next");
            let pieces: Vec<_> = body.chunks(cut).collect();
            prop_assert_eq!(taken(&pieces), (len, Chunked::Done));
        }
    }
}
