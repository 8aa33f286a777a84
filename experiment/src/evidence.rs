//! The seal of a witness's lines: both ends of a wire count and hash them, so that a cut or changed stream is noticed.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Counts and hashes newline-ended lines as they pass.
#[derive(Debug, Clone, Default)]
pub struct Sealer {
    lines: u64,
    hash: Sha256,
}

/// What a witness says of its own lines, in the footer of its stream.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Seal {
    /// How many lines came before the footer.
    pub lines: u64,
    /// SHA-256 over those lines, newlines included, in hex.
    pub sha256: String,
}

impl Sealer {
    /// Takes one or more whole lines, each with its newline.
    pub fn add(&mut self, lines: &[u8]) {
        self.lines += lines.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
        self.hash.update(lines);
    }

    /// The seal of what has passed so far.
    #[must_use]
    pub fn seal(&self) -> Seal {
        let mut sha256 = String::with_capacity(64);
        for byte in self.hash.clone().finalize() {
            // Writing to a String cannot fail.
            let _ = write!(sha256, "{byte:02x}");
        }
        Seal { lines: self.lines, sha256 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_notices_a_missing_a_changed_and_a_doubled_line() {
        let seal = |text: &str| {
            let mut sealer = Sealer::default();
            sealer.add(text.as_bytes());
            sealer.seal()
        };
        let whole = seal("a\nb\n");
        assert_eq!(whole.lines, 2);
        assert_eq!(seal("").sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        for lie in ["a\n", "a\nc\n", "a\nb\nb\n", "b\na\n"] {
            assert_ne!(seal(lie), whole, "{lie:?}");
        }
    }
}
