//! The evidence of a load as lines of its pod's log. On a cluster the operator reads them from there, so that no pod needs rights to hand
//! its evidence over. What the evidence says, this module does not know.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use paylab_core::witness::seal::Sealer;
use serde::{Deserialize, Serialize};

/// How many bytes of evidence a line carries. Container runtimes cut longer lines than 8 KiB, and then the end of a log has fewer of them.
const PIECE_LEN: usize = 4500;
/// How each line begins.
const BEGINNING: &str = r#"{"paylabEvidence":"#;

/// Why a log has no whole evidence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceLogError {
    /// The log has no such line of this run.
    #[error("has no evidence of the run")]
    Absent,
    /// Some of the lines are missing.
    #[error("has only {found} of the {all} lines of its evidence")]
    Cut {
        /// How many there are.
        found: usize,
        /// How many there must be.
        all: u32,
    },
    /// The lines do not fit one another.
    #[error("has evidence whose checksum is wrong")]
    Changed,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    paylab_evidence: Piece,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Piece {
    run: String,
    /// Counted from 1.
    number: u32,
    of: u32,
    /// Of the whole evidence.
    sha256: String,
    /// A part of the evidence, in base64.
    data: String,
}

/// The lines that carry this evidence of a run.
#[must_use]
pub fn lines(run: &str, evidence: &[u8]) -> Vec<String> {
    let (pieces, sha256) = (evidence.chunks(PIECE_LEN), sha256(evidence));
    let of = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
    let line = |(number, piece): (u32, &[u8])| {
        let (run, sha256, data) = (run.to_owned(), sha256.clone(), STANDARD.encode(piece));
        // Text and numbers can always be written as JSON.
        serde_json::to_string(&Line { paylab_evidence: Piece { run, number, of, sha256, data } }).unwrap_or_default()
    };
    (1..).zip(pieces).map(line).collect()
}

/// How many lines carry so many bytes of evidence at most.
#[must_use]
pub const fn lines_max(bytes: usize) -> usize {
    bytes.div_ceil(PIECE_LEN)
}

/// The evidence of a run that a log carries.
///
/// # Errors
/// The log has none, or not all of it.
pub fn assemble(log: &str, run: &str) -> Result<Vec<u8>, EvidenceLogError> {
    let pieces = log.lines().filter(|line| line.starts_with(BEGINNING));
    let pieces = pieces.filter_map(|line| Some(serde_json::from_str::<Line>(line).ok()?.paylab_evidence));
    let mut pieces: Vec<_> = pieces.filter(|piece| piece.run == run).collect();
    pieces.sort_by_key(|piece| piece.number);
    pieces.dedup_by_key(|piece| piece.number);
    let (of, expected) = pieces.last().map(|last| (last.of, last.sha256.clone())).ok_or(EvidenceLogError::Absent)?;
    if u32::try_from(pieces.len()) != Ok(of) {
        return Err(EvidenceLogError::Cut { found: pieces.len(), all: of });
    }
    let decoded: Result<Vec<_>, _> = pieces.iter().map(|piece| STANDARD.decode(&piece.data)).collect();
    let evidence = decoded.map_err(|_| EvidenceLogError::Changed)?.concat();
    if sha256(&evidence) == expected { Ok(evidence) } else { Err(EvidenceLogError::Changed) }
}

/// SHA-256 in hex.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    let mut sealer = Sealer::default();
    sealer.add(bytes);
    sealer.seal().sha256
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(len: usize) -> Vec<u8> {
        (0..len).map(|index| u8::try_from(index % 251).unwrap()).collect()
    }

    #[test]
    fn evidence_is_found_among_the_other_lines_of_a_log() {
        for len in [1, PIECE_LEN, PIECE_LEN + 1, 20_000] {
            let evidence = evidence(len);
            let lines = lines("run-1", &evidence);
            assert!(lines.len() <= lines_max(len) && lines.iter().all(|line| line.len() < 8 * 1024), "{len}");
            let log = format!("load done\n{}\n{{\"paylabEvidence\":1}}\nbye\n", lines.join("\nanother line\n"));
            assert_eq!(assemble(&log, "run-1"), Ok(evidence));
            assert_eq!(assemble(&log, "run-2"), Err(EvidenceLogError::Absent));
        }
    }

    #[test]
    fn evidence_that_is_cut_or_changed_is_refused() {
        let lines = lines("run-1", &evidence(20_000));
        let without_first = lines[1..].join("\n");
        assert_eq!(assemble(&without_first, "run-1"), Err(EvidenceLogError::Cut { found: 4, all: 5 }));
        let changed = lines.join("\n").replacen("AAEC", "AAED", 1);
        assert_eq!(assemble(&changed, "run-1"), Err(EvidenceLogError::Changed));
        let swapped = lines.join("\n").replacen("\"number\":1", "\"number\":9", 1);
        assert_eq!(assemble(&swapped, "run-1"), Err(EvidenceLogError::Changed));
    }
}
