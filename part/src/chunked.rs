//! Finds the end of a chunked body (RFC 9112, section 7.1), however its bytes are cut. It must not know what the chunks hold.
//!
//! It reads as strictly as the RFC and Node do: every line ends with a carriage return and a line feed. curl also takes a line feed
//! alone. That is not accepted here, because two readers of one stream must not disagree about the end of a body.

/// The longest chunk size that is understood, in hex digits: zeros may stand before a number of 64 bits, which has 16 digits.
const SIZE_DIGITS_MAX: u8 = 64;
/// A value to which no digit can be added.
const VALUE_FULL: u64 = 1 << 60;
/// The longest extension of one chunk, and the longest trailer in all, in bytes. Node has the same limit.
const SKIPPED_LEN_MAX: u16 = 16 * 1024;

/// Where in a chunked body the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunked {
    /// In the size of a chunk, with its value so far.
    Size {
        /// The value of the digits so far.
        value: u64,
        /// How many digits there were.
        digits: u8,
    },
    /// Behind the size of a chunk: in an extension.
    Extension {
        /// The size of the chunk.
        value: u64,
        /// How many bytes of the extension there were.
        skipped: u16,
    },
    /// Before the line feed behind the size of a chunk.
    SizeEnd {
        /// The size of the chunk.
        value: u64,
    },
    /// In the data of a chunk.
    Data {
        /// How many bytes are to come.
        left: u64,
    },
    /// Before the carriage return behind the data.
    DataEnd,
    /// Before the line feed behind the data.
    DataLineFeed,
    /// At the start of a line of the trailer.
    TrailerStart {
        /// How many bytes of the trailer there were.
        skipped: u16,
    },
    /// In a line of the trailer.
    TrailerLine {
        /// How many bytes of the trailer there were.
        skipped: u16,
    },
    /// Before the line feed behind a line of the trailer.
    TrailerLineEnd {
        /// How many bytes of the trailer there were.
        skipped: u16,
    },
    /// Before the line feed behind the empty line that ends the body.
    LastLineFeed,
    /// Behind the last byte.
    Done,
    /// It is not chunked, whatever its head says: every byte belongs to it until the stream ends.
    Broken,
}

impl Chunked {
    /// Before the first byte.
    pub const START: Self = Self::Size { value: 0, digits: 0 };

    /// Takes bytes; answers how many of them belong to the body.
    pub fn take(&mut self, bytes: &[u8]) -> usize {
        self.take_data(bytes, |_| ())
    }

    /// Takes bytes and hands on what of them is data; answers how many of them belong to the body.
    pub fn take_data(&mut self, bytes: &[u8], mut data: impl FnMut(&[u8])) -> usize {
        let mut taken = 0;
        while taken < bytes.len() && *self != Self::Done {
            if *self == Self::Broken {
                return bytes.len();
            }
            let is_data = matches!(self, Self::Data { .. });
            let len = self.step(&bytes[taken..]);
            if is_data {
                data(&bytes[taken..taken + len]);
            }
            taken += len;
        }
        taken
    }

    /// Takes bytes of a chunk's data that nobody has looked at. Whatever goes beyond the data is not taken.
    pub const fn take_unseen(&mut self, count: u64) {
        if let Self::Data { left } = *self {
            *self = if count < left { Self::Data { left: left - count } } else { Self::DataEnd };
        }
    }

    /// Takes one byte, or the rest of a chunk's data. `bytes` is not empty.
    fn step(&mut self, bytes: &[u8]) -> usize {
        if let Self::Data { left } = *self {
            let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            let left = left - taken as u64;
            *self = if left == 0 { Self::DataEnd } else { Self::Data { left } };
            return taken;
        }
        *self = self.after(bytes[0]);
        1
    }

    /// The state after one byte that is not data.
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Size { digits: 1.., value }, b'\r') => Self::SizeEnd { value },
            (Self::Size { digits: 1.., value }, b';' | b' ' | b'\t') => Self::Extension { value, skipped: 0 },
            (Self::Size { value: value @ 0..VALUE_FULL, digits: digits @ 0..SIZE_DIGITS_MAX }, _) => {
                match char::from(byte).to_digit(16) {
                    Some(digit) => Self::Size { value: value << 4 | u64::from(digit), digits: digits + 1 },
                    None => Self::Broken,
                }
            }
            (Self::Extension { value, .. }, b'\r') => Self::SizeEnd { value },
            (Self::SizeEnd { value: 0 }, b'\n') => Self::TrailerStart { skipped: 0 },
            (Self::SizeEnd { value }, b'\n') => Self::Data { left: value },
            (Self::DataEnd, b'\r') => Self::DataLineFeed,
            (Self::DataLineFeed, b'\n') => Self::START,
            (Self::TrailerStart { .. }, b'\r') => Self::LastLineFeed,
            (Self::LastLineFeed, b'\n') => Self::Done,
            (Self::TrailerLine { skipped }, b'\r') => Self::TrailerLineEnd { skipped },
            (Self::TrailerLineEnd { skipped }, b'\n') => Self::TrailerStart { skipped },
            (_, b'\n') => Self::Broken,
            (Self::Extension { value, skipped: skipped @ 0..SKIPPED_LEN_MAX }, _) => {
                Self::Extension { value, skipped: skipped + 1 }
            }
            (
                Self::TrailerStart { skipped: skipped @ 0..SKIPPED_LEN_MAX }
                | Self::TrailerLine { skipped: skipped @ 0..SKIPPED_LEN_MAX },
                _,
            ) => Self::TrailerLine { skipped: skipped + 1 },
            (Self::Done, _) => Self::Done,
            (
                Self::Size { .. }
                | Self::Extension { .. }
                | Self::SizeEnd { .. }
                | Self::Data { .. }
                | Self::DataEnd
                | Self::DataLineFeed
                | Self::TrailerStart { .. }
                | Self::TrailerLine { .. }
                | Self::TrailerLineEnd { .. }
                | Self::LastLineFeed
                | Self::Broken,
                _,
            ) => Self::Broken,
        }
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
            "5;name=x\r\nhello\r\n1\r\n!\r\nA \r\n0123456789\r\n0\r\nA-Trailer: x\r\n\r\n",
            "1\t\r\na\r\n0;last\r\n\r\n",
            "00000000000000000001\r\na\r\n0\r\n\r\n",
        ] {
            let stream = format!("{body}GET / HTTP/1.1\r\n");
            assert_eq!(taken(&[stream.as_bytes()]), (body.len(), Chunked::Done), "{body:?}");
        }
    }

    #[test]
    fn a_body_that_is_not_chunked_goes_on_to_the_end_of_the_stream() {
        let endless_size = "0".repeat(65);
        let endless_trailer = format!("0\r\n{}", "A: b\r\n".repeat(5000));
        let endless_extension = format!("1;{}", "x".repeat(20_000));
        for body in [
            "\r\n",
            "x",
            ";\r\n",
            "-1\r\n",
            "1\r\nab",
            "fffffffffffffffff\r\n",
            "10000000000000000\r\n",
            &endless_size,
            "0\r\n\rx",
            "1\r\na\rb",
            &endless_trailer,
            &endless_extension,
        ] {
            assert_eq!(taken(&[body.as_bytes(), b"more"]), (body.len() + 4, Chunked::Broken), "{body:.20?}");
        }
    }

    /// Node refuses all of these, and curl takes them.
    #[test]
    fn a_line_that_does_not_end_with_both_of_its_bytes_breaks_the_body() {
        for body in [
            "1\na\n0\n\n",
            "1\na\r\n0\r\n\r\n",
            "1\r\na\n0\r\n\r\n",
            "1\r\na\r\n0\r\n\n",
            "1\r\na\r\n0\r\nX: y\n\r\n",
            "1;x\ny\r\na\r\n0\r\n\r\n",
            "1;x\ry\r\na\r\n0\r\n\r\n",
            "1\r\na\r\r\n0\r\n\r\n",
        ] {
            assert_eq!(taken(&[body.as_bytes()]), (body.len(), Chunked::Broken), "{body:?}");
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
