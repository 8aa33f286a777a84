//! The seal of a stream of lines: sender and receiver count and hash the lines, so that a cut or changed stream is noticed.
//! What is wrong with a stream is a [`Flaw`].

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Counts and hashes newline-ended lines as they pass.
#[derive(Debug, Clone, Default)]
pub struct Sealer {
    lines: u64,
    hash: Sha256,
}

/// What the footer of a stream says about the lines before it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Seal {
    /// How many lines came before the footer.
    pub lines: u64,
    /// SHA-256 over those lines, newlines included, in hex.
    pub sha256: String,
}

/// What is wrong with a stream. A stream with a flaw proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Flaw {
    /// It ended before its footer.
    NoFooter,
    /// A line cannot be read.
    Unreadable,
    /// Count or hash of the lines differ from the footer's.
    BrokenSeal,
    /// Lines came after the footer.
    AfterFooter,
    /// It is of another run.
    OtherRun,
    /// The numbers of its lines do not ascend.
    Disordered,
    /// Its own sum is not the sum of its lines.
    WrongSum,
    /// It could not be read at all, or not to its end.
    Unread,
    /// It has changed after everything was said to have ended.
    Unsettled,
    /// Its part has counted other numbers than its lines have.
    Miscounted,
}

/// A sealed stream as it is read: lines, then a footer, then nothing.
#[derive(Debug, Clone)]
pub struct SealedStream<F> {
    sealer: Sealer,
    footer: Option<F>,
    flaw: Option<Flaw>,
    /// Details of the flaw, such as why it could not be read.
    cause: Option<String>,
}

impl<F> Default for SealedStream<F> {
    fn default() -> Self {
        Self { sealer: Sealer::default(), footer: None, flaw: None, cause: None }
    }
}

impl<F> SealedStream<F> {
    /// Takes one line before the footer, with its newline.
    pub(crate) fn line(&mut self, line: &[u8]) {
        if self.footer.is_some() {
            self.spoil(Flaw::AfterFooter);
        }
        self.sealer.add(line);
    }

    /// Takes the footer, with the seal that it claims for the lines before it.
    pub(crate) fn close(&mut self, footer: F, seal: &Seal) {
        if self.footer.replace(footer).is_some() {
            self.spoil(Flaw::AfterFooter);
        }
        if *seal != self.sealer.seal() {
            self.spoil(Flaw::BrokenSeal);
        }
    }

    /// Notes a flaw. The first one is kept.
    pub(crate) fn spoil(&mut self, flaw: Flaw) {
        self.flaw.get_or_insert(flaw);
    }

    /// Notes a flaw that was found by whoever has read the stream, and its details. It counts for more than a missing footer.
    pub fn reject(&mut self, flaw: Flaw, cause: String) {
        if self.flaw.is_none() {
            self.cause = Some(cause);
        }
        self.spoil(flaw);
    }

    /// The flaw of the stream in words, with its details; `None`: it is whole.
    #[must_use]
    pub fn flaw_text(&self) -> Option<String> {
        let text = self.flaw()?.text();
        Some(self.cause.as_ref().map_or_else(|| text.to_owned(), |cause| format!("{text}: {cause}")))
    }

    /// The seal of the lines that were read.
    #[must_use]
    pub fn seal(&self) -> Seal {
        self.sealer.seal()
    }

    /// The flaw of the stream; `None`: it is whole.
    #[must_use]
    pub fn flaw(&self) -> Option<Flaw> {
        self.flaw.or(if self.footer.is_none() { Some(Flaw::NoFooter) } else { None })
    }

    /// Whether it was read to its end and has no flaw.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.flaw().is_none()
    }

    /// The footer, once it was read.
    #[must_use]
    pub const fn footer(&self) -> Option<&F> {
        self.footer.as_ref()
    }
}

impl Flaw {
    /// The flaw in words, to be said of a record or a ledger.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::NoFooter => "ended before its footer",
            Self::Unreadable => "holds a line that cannot be read",
            Self::BrokenSeal => "does not have the lines its footer counts",
            Self::AfterFooter => "goes on after its footer",
            Self::OtherRun => "is of another run",
            Self::Disordered => "lists a line twice or out of order",
            Self::WrongSum => "does not add up to its own total",
            Self::Unread => "could not be read",
            Self::Unsettled => "was still changing when everything should have ended",
            Self::Miscounted => "does not have as many lines as its part has counted",
        }
    }
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
