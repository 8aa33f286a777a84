//! Finds the end of a body in the chunked coding, in whatever pieces its bytes arrive. It must not know what the chunks hold.

/// The longest chunk size that is accepted, in hex digits.
const SIZE_DIGITS_MAX: u8 = 15;

/// The position of the next byte in a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChunkedBody {
    /// In the size of a chunk, whose digits so far have this value.
    Size { value: u64, digits: u8 },
    /// After the size, in an extension or at the end of the line.
    SizeLine { value: u64 },
    /// In the data of a chunk, of which this many bytes are still to come.
    Data { left: u64 },
    /// After the data, at the end of the line.
    DataLine,
    /// At the start of a line of the trailer.
    TrailerStart,
    /// In a line of the trailer.
    TrailerLine,
    /// After the carriage return of the last line.
    LastLine,
    /// After the last byte.
    Done,
    /// The bytes are not in the chunked coding although the head says so: all of them belong to the body until the stream ends.
    Broken,
}

impl ChunkedBody {
    /// Before the first byte.
    pub(crate) const START: Self = Self::Size { value: 0, digits: 0 };

    /// Takes bytes from the stream and returns how many of them belong to the body.
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

    fn taken(pieces: &[&[u8]]) -> (usize, ChunkedBody) {
        let mut chunked = ChunkedBody::START;
        (pieces.iter().map(|piece| chunked.take(piece)).sum(), chunked)
    }

    #[test]
    fn a_chunked_body_ends_after_its_trailer_and_later_bytes_do_not_belong_to_it() {
        for body in [
            "0\r\n\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            "A;x=\"y\"\r\n0123456789\r\n0\r\nSum: 7\r\nX: y\r\n\r\n",
            "1\na\n0\n\n",
        ] {
            let stream = format!("{body}GET / HTTP/1.1\r\n");
            assert_eq!(taken(&[stream.as_bytes()]), (body.len(), ChunkedBody::Done), "{body:?}");
        }
    }

    #[test]
    fn a_body_that_breaks_the_chunked_coding_ends_with_the_stream() {
        for body in ["\r\n", "x", "-1\r\n", "1\r\nab", "fffffffffffffffff\r\n", "0\r\n\rx"] {
            assert_eq!(taken(&[body.as_bytes(), b"more"]), (body.len() + 4, ChunkedBody::Broken), "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn the_end_does_not_depend_on_the_pieces_in_which_the_bytes_arrive(
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
            prop_assert_eq!(taken(&pieces), (len, ChunkedBody::Done));
        }
    }
}
