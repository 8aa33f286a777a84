//! A response that is a stream of lines, handed on line by line in bounded memory.

use hyper::Method;

use super::{ControlError, ControlRequest, SILENCE_MAX, send};

/// A longer line is handed on in pieces, in bytes. No line of evidence is as long.
const LINE_LEN_MAX: usize = 64 * 1024;

/// Fetches a stream of lines and hands each on with its newline; a last one without is handed on as it is.
pub(crate) async fn read_lines(address: &str, path: &str, mut take: impl FnMut(&[u8])) -> Result<(), ControlError> {
    let mut lines = Lines::default();
    let request = ControlRequest { method: Method::GET, address, path, body: String::new(), silence_max: SILENCE_MAX };
    let read = send(request, |data| lines.cut(data, &mut take)).await;
    if !lines.begun.is_empty() {
        take(&lines.begun);
    }
    read
}

/// Cuts a stream into lines.
#[derive(Debug, Default)]
struct Lines {
    /// A line whose end has not come.
    begun: Vec<u8>,
}

impl Lines {
    fn cut(&mut self, data: &[u8], take: &mut impl FnMut(&[u8])) {
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            if self.begun.is_empty() && piece.ends_with(b"\n") {
                take(piece);
                continue;
            }
            self.begun.extend_from_slice(piece);
            if self.begun.ends_with(b"\n") || self.begun.len() > LINE_LEN_MAX {
                take(&self.begun);
                self.begun.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_however_the_stream_is_cut() {
        let text = b"one\n\ntwo\nthree";
        for piece in 1..=text.len() {
            let (mut lines, mut taken) = (Lines::default(), Vec::new());
            text.chunks(piece).for_each(|part| lines.cut(part, &mut |line: &[u8]| taken.push(line.to_vec())));
            assert_eq!(taken, [&b"one\n"[..], b"\n", b"two\n"], "pieces of {piece}");
            assert_eq!(lines.begun, b"three");
        }
    }

    #[test]
    fn a_line_without_an_end_is_handed_on_in_bounded_pieces() {
        let (mut lines, mut longest) = (Lines::default(), 0);
        for _ in 0..100 {
            lines.cut(&[b'x'; 10_000], &mut |line: &[u8]| longest = longest.max(line.len()));
        }
        assert!((LINE_LEN_MAX..LINE_LEN_MAX + 10_000).contains(&longest), "{longest}");
    }
}
