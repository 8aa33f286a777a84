//! The evidence of one worker's share in bytes, for the log of its pod: its counts, then attempts, cut to fit. `docs/report.md` describes it.

use std::io::{self, BufReader, Write as _};

use anyhow::anyhow;
use paylab_core::chronicle::{Chronicle, Counts};
use serde::{Deserialize, Serialize};

use super::{FORMAT, attempts};

/// If the stories do not fit, so many of the share that may fit by their average length are tried.
const SHARE_OF_FITTING: usize = 9;
/// The whole of [`SHARE_OF_FITTING`].
const WHOLE: usize = 10;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    format: u32,
    run_id: String,
    chronicle: Counts,
}

/// What is read of the first line first, whatever its format.
#[derive(Debug, Deserialize)]
struct Format {
    format: u32,
}

/// The share of a run in at most so many bytes: with all stories that fit, those first that are read first. `None`: not even the counts fit.
///
/// # Errors
/// None that is known, because it is written to memory.
pub(crate) fn encode(mut chronicle: Chronicle, run_id: &str, len_max: usize) -> io::Result<Option<Vec<u8>>> {
    // Bounded: each turn has fewer stories.
    loop {
        let bytes = encoded(&chronicle, run_id)?;
        if bytes.len() <= len_max {
            return Ok(Some(bytes));
        }
        let told = chronicle.stories.len();
        if told == 0 {
            return Ok(None);
        }
        let fitting = told * len_max / bytes.len() * SHARE_OF_FITTING / WHOLE;
        chronicle.keep_stories(fitting.min(told - 1));
    }
}

fn encoded(Chronicle { counts, stories }: &Chronicle, run_id: &str) -> io::Result<Vec<u8>> {
    let mut out = attempts::compressed(Vec::new())?;
    let head = Head { format: FORMAT, run_id: run_id.to_owned(), chronicle: counts.clone() };
    out.write_all(&attempts::with_newline(&head)?)?;
    attempts::write_lines(stories, run_id, &mut out)?;
    out.finish()
}

/// Reads it back, and checks that it is whole and of this run.
///
/// # Errors
/// It is cut, changed, of another run or of a newer format.
pub(crate) fn decode(bytes: &[u8], run_id: &str) -> anyhow::Result<Chronicle> {
    let mut lines = BufReader::new(zstd::Decoder::new(bytes)?);
    let line = attempts::read_line(&mut lines)?;
    let Format { format } = serde_json::from_slice(&line).map_err(|_| unreadable())?;
    if format > FORMAT {
        return Err(anyhow!(
            "has format {format}, and this version of paylab reads formats up to {FORMAT}; use a newer version"
        ));
    }
    let head: Head = serde_json::from_slice(&line).map_err(|_| unreadable())?;
    if head.run_id != run_id {
        return Err(anyhow!("is of run {}, and the others are of run {run_id}", head.run_id));
    }
    Ok(Chronicle { counts: head.chronicle, stories: attempts::read_lines(&mut lines, run_id)? })
}

fn unreadable() -> anyhow::Error {
    anyhow!("begins with a line that cannot be read; it was changed")
}

#[cfg(test)]
mod tests {
    use paylab_core::{
        chronicle::story::{AttemptStory, PaymentStory},
        judge::anomaly::Anomaly,
        witness::attempt::{Belief, Ending},
    };

    use super::*;

    fn chronicle(payments: u64) -> Chronicle {
        let attempt =
            |attempt| AttemptStory { attempt, client: None, proxy: None, proxy_at_us: Some(u64::from(attempt)) };
        let story = |payment| PaymentStory {
            payment,
            belief: Belief::Acknowledged,
            ending: Ending::Acknowledged,
            anomalies: vec![Anomaly::Duplicated],
            attempts: (1..=3).map(attempt).collect(),
            entries: Some(Vec::new()),
        };
        Chronicle { counts: Counts::default(), stories: (0..payments).map(story).collect() }
    }

    #[test]
    fn a_share_that_fits_reads_back_as_it_was() {
        let whole = chronicle(50);
        let bytes = encode(whole.clone(), "run-1", usize::MAX).unwrap().unwrap();
        assert_eq!(decode(&bytes, "run-1").unwrap(), whole);
    }

    #[test]
    fn a_share_that_does_not_fit_is_cut_and_says_so() {
        let whole = encode(chronicle(1000), "run-1", usize::MAX).unwrap().unwrap().len();
        let bytes = encode(chronicle(1000), "run-1", whole / 2).unwrap().unwrap();
        assert!(bytes.len() <= whole / 2);
        let Chronicle { counts, stories } = decode(&bytes, "run-1").unwrap();
        assert!(stories.len() > 100, "{} stories", stories.len());
        assert_eq!(counts.broken_left_out, 1000 - stories.len() as u64);
        assert_eq!(encode(chronicle(1000), "run-1", 10).unwrap(), None);
    }

    #[test]
    fn a_share_that_is_cut_changed_newer_or_anothers_is_refused_with_a_sentence() {
        let bytes = encode(chronicle(50), "run-1", usize::MAX).unwrap().unwrap();
        let problem = |bytes: &[u8], run| decode(bytes, run).unwrap_err().to_string();
        let newer = Head { format: FORMAT + 1, run_id: "run-1".to_owned(), chronicle: Counts::default() };
        let newer = zstd::encode_all(attempts::with_newline(&newer).unwrap().as_slice(), 0).unwrap();
        let all = [
            problem(&bytes[..bytes.len() / 2], "run-1"),
            problem(&[], "run-1"),
            problem(&bytes, "run-2"),
            problem(b"not compressed", "run-1"),
            problem(&newer, "run-1"),
        ];
        assert_eq!(
            all,
            [
                "is cut or damaged",
                "is cut or damaged",
                "is of run run-1, and the others are of run run-2",
                "is cut or damaged",
                "has format 2, and this version of paylab reads formats up to 1; use a newer version",
            ]
        );
    }
}
