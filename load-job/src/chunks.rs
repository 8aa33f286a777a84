//! The chunked transfer coding, taken apart byte by byte as it comes. It must not know what the data is.

use crate::answer::Malformed;

/// The longest chunk extension and the longest trailers that are skipped, in bytes.
const SKIPPED_LEN_MAX: u16 = 4096;
/// More hex digits than this do not fit a chunk's size.
const SIZE_DIGITS_MAX: u8 = 15;

/// How far a chunked body has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chunks {
    /// In the hex digits of a size.
    Size { size: u64, digits: u8 },
    /// In an extension behind a size.
    Extension { size: u64, skipped: u16 },
    /// Before the line feed behind a size.
    SizeEnd { size: u64 },
    /// In the data of a chunk.
    Data { left: u64 },
    /// Before the carriage return behind data.
    DataEnd,
    /// Before the line feed behind data.
    DataLineFeed,
    /// In the trailers; `line` bytes of this one were seen.
    Trailer { line: u16, skipped: u16 },
    /// Before the line feed behind a trailer.
    TrailerEnd { line: u16, skipped: u16 },
    /// Nothing more belongs to the body.
    Ended,
}

impl Chunks {
    /// Before the first chunk.
    pub(crate) const START: Self = Self::Size { size: 0, digits: 0 };

    /// Takes bytes as they come and hands the data on; how many bytes belonged to the body.
    pub(crate) fn take(&mut self, bytes: &[u8], mut sink: impl FnMut(&[u8])) -> Result<usize, Malformed> {
        let mut rest = bytes;
        while let Some((byte, behind)) = rest.split_first() {
            match *self {
                Self::Ended => break,
                Self::Data { left } => {
                    let len = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                    let (data, behind) = rest.split_at(len);
                    sink(data);
                    rest = behind;
                    *self = match left - data.len() as u64 {
                        0 => Self::DataEnd,
                        left => Self::Data { left },
                    };
                }
                framing => {
                    *self = framing.after(*byte)?;
                    rest = behind;
                }
            }
        }
        Ok(bytes.len() - rest.len())
    }

    /// The state after one byte that is not data.
    fn after(self, byte: u8) -> Result<Self, Malformed> {
        match (self, byte) {
            (Self::Size { size, digits: 1.. }, b'\r') => Ok(Self::SizeEnd { size }),
            (Self::Size { size, digits: 1.. }, b';' | b' ' | b'\t') => Ok(Self::Extension { size, skipped: 0 }),
            (Self::Size { size, digits: digits @ 0..SIZE_DIGITS_MAX }, _) => {
                let digit = char::from(byte).to_digit(16).ok_or(Malformed)?;
                Ok(Self::Size { size: size << 4 | u64::from(digit), digits: digits + 1 })
            }
            (Self::Extension { size, .. }, b'\r') => Ok(Self::SizeEnd { size }),
            (Self::Extension { size, skipped: skipped @ 0..SKIPPED_LEN_MAX }, _) => {
                Ok(Self::Extension { size, skipped: skipped + 1 })
            }
            (Self::SizeEnd { size: 0 }, b'\n') => Ok(Self::Trailer { line: 0, skipped: 0 }),
            (Self::SizeEnd { size }, b'\n') => Ok(Self::Data { left: size }),
            (Self::DataEnd, b'\r') => Ok(Self::DataLineFeed),
            (Self::DataLineFeed, b'\n') => Ok(Self::START),
            (Self::Trailer { line, skipped }, b'\r') => Ok(Self::TrailerEnd { line, skipped }),
            (Self::Trailer { line, skipped: skipped @ 0..SKIPPED_LEN_MAX }, _) => {
                Ok(Self::Trailer { line: line + 1, skipped: skipped + 1 })
            }
            (Self::TrailerEnd { line: 0, .. }, b'\n') => Ok(Self::Ended),
            (Self::TrailerEnd { skipped, .. }, b'\n') => Ok(Self::Trailer { line: 0, skipped }),
            _ => Err(Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data and how many bytes belonged to the body, fed in pieces of `piece` bytes.
    fn read(bytes: &[u8], piece: usize) -> Result<(Vec<u8>, usize, Chunks), Malformed> {
        let (mut chunks, mut data, mut used) = (Chunks::START, Vec::new(), 0);
        for part in bytes.chunks(piece) {
            used += chunks.take(part, |bytes| data.extend_from_slice(bytes))?;
        }
        Ok((data, used, chunks))
    }

    #[test]
    fn a_chunked_body_reads_the_same_however_it_is_cut() {
        let bytes = b"5;name=x\r\nhello\r\n1\r\n!\r\nA \r\n0123456789\r\n0\r\nA-Trailer: x\r\n\r\n";
        for piece in 1..=bytes.len() {
            let whole = (b"hello!0123456789".to_vec(), bytes.len(), Chunks::Ended);
            assert_eq!(read(bytes, piece), Ok(whole), "pieces of {piece}");
        }
    }

    #[test]
    fn bytes_behind_the_last_chunk_are_left() {
        assert_eq!(read(b"0\r\n\r\nHTTP/1.1", 100), Ok((Vec::new(), 5, Chunks::Ended)));
    }

    #[test]
    fn what_is_not_chunked_is_refused() {
        let endless_trailers = format!("0\r\n{}", "A: b\r\n".repeat(2000));
        for bytes in ["\r\n", "x\r\n", ";\r\n", "1\n", "1\r\nab", "0000000000000001\r\n", &endless_trailers] {
            assert_eq!(read(bytes.as_bytes(), 7), Err(Malformed), "{bytes:.20}");
        }
    }
}
