//! `attempts.ndjson.zst`: one line for each attempt of the payments that are told, and a last line that seals them.

use std::io::{self, BufRead, BufReader, Read, Write};

use anyhow::anyhow;
use paylab_core::{
    chronicle::story::{AttemptStory, ClientTrace, EntryStory, PaymentStory},
    judge::anomaly::Anomaly,
    witness::{
        attempt::{Belief, Ending},
        record::RecordLine,
        seal::{Seal, Sealer},
    },
};
use serde::{Deserialize, Serialize};

/// How much the file is compressed: higher levels take longer, and the file is small.
const LEVEL: i32 = 3;
/// More lines are not read: Paylab writes fewer, and a line for each payment without an attempt.
const LINES_MAX: u64 = 2 * paylab_core::chronicle::ATTEMPTS_KEPT as u64;
/// No line is longer, in bytes.
const LINE_LEN_MAX: u64 = 1024 * 1024;

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", untagged)]
enum Line {
    Attempt(Box<AttemptLine>),
    Footer { footer: Footer },
}

/// One attempt, with its payment.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AttemptLine {
    payment: u64,
    /// Its number, from 1; null: the payment has no attempt.
    attempt: Option<u32>,
    client: Option<ClientTrace>,
    proxy: Option<RecordLine>,
    proxy_at_us: Option<u64>,
    /// Of the whole payment.
    entries: Option<Vec<EntryStory>>,
    /// Of the whole payment.
    anomalies: Vec<Anomaly>,
    /// Of the whole payment.
    belief: Belief,
    /// Of the whole payment.
    ending: Ending,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Footer {
    run_id: String,
    #[serde(flatten)]
    seal: Seal,
}

/// Writes the attempts of payments.
pub(super) fn write(stories: &[PaymentStory], run_id: &str, out: impl Write) -> io::Result<()> {
    let mut out = compressed(out)?;
    write_lines(stories, run_id, &mut out)?;
    out.finish()?.flush()
}

/// What compresses lines and adds a checksum.
pub(super) fn compressed<W: Write>(out: W) -> io::Result<zstd::Encoder<'static, W>> {
    let mut out = zstd::Encoder::new(out, LEVEL)?;
    out.include_checksum(true)?;
    Ok(out)
}

/// Writes a line for each attempt, and the footer.
pub(super) fn write_lines(stories: &[PaymentStory], run_id: &str, out: &mut impl Write) -> io::Result<()> {
    let mut sealer = Sealer::default();
    for line in stories.iter().flat_map(lines) {
        let line = with_newline(&line)?;
        sealer.add(&line);
        out.write_all(&line)?;
    }
    let footer = Footer { run_id: run_id.to_owned(), seal: sealer.seal() };
    out.write_all(&with_newline(&Line::Footer { footer })?)
}

/// Reads them back, and checks that they are whole and of this run.
pub(super) fn read(file: impl Read, run_id: &str) -> anyhow::Result<Vec<PaymentStory>> {
    read_lines(&mut BufReader::new(zstd::Decoder::new(file)?), run_id)
}

/// Reads a line; none is longer than is written.
pub(super) fn read_line(lines: &mut impl BufRead) -> anyhow::Result<Vec<u8>> {
    let mut line = Vec::new();
    lines.take(LINE_LEN_MAX).read_until(b'\n', &mut line).map_err(|_| cut())?;
    if line.is_empty() { Err(cut()) } else { Ok(line) }
}

/// Reads lines up to the footer, and checks them.
pub(super) fn read_lines(lines: &mut impl BufRead, run_id: &str) -> anyhow::Result<Vec<PaymentStory>> {
    let (mut stories, mut sealer) = (Vec::new(), Sealer::default());
    for _ in 0..LINES_MAX {
        let line = read_line(lines)?;
        match serde_json::from_slice(&line).map_err(|_| anyhow!("holds a line that cannot be read; it was changed"))? {
            Line::Attempt(attempt) => add(&mut stories, *attempt),
            Line::Footer { footer } => {
                return if footer.run_id != run_id {
                    Err(anyhow!("is of run {}, and the others are of run {run_id}", footer.run_id))
                } else if footer.seal != sealer.seal() {
                    Err(anyhow!("does not hold the lines that its footer counts; it was changed"))
                } else {
                    Ok(stories)
                };
            }
        }
        sealer.add(&line);
    }
    Err(anyhow!("has more than {LINES_MAX} lines"))
}

fn cut() -> anyhow::Error {
    anyhow!("is cut or damaged")
}

pub(super) fn with_newline(line: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(line)?;
    line.push(b'\n');
    Ok(line)
}

fn lines(story: &PaymentStory) -> Vec<Line> {
    let line = |attempt: Option<&AttemptStory>| {
        Line::Attempt(Box::new(AttemptLine {
            payment: story.payment,
            attempt: attempt.map(|attempt| attempt.attempt),
            client: attempt.and_then(|attempt| attempt.client),
            proxy: attempt.and_then(|attempt| attempt.proxy.clone()),
            proxy_at_us: attempt.and_then(|attempt| attempt.proxy_at_us),
            entries: story.entries.clone(),
            anomalies: story.anomalies.clone(),
            belief: story.belief,
            ending: story.ending,
        }))
    };
    if story.attempts.is_empty() { vec![line(None)] } else { story.attempts.iter().map(|it| line(Some(it))).collect() }
}

fn add(stories: &mut Vec<PaymentStory>, line: AttemptLine) {
    let AttemptLine { payment, attempt, client, proxy, proxy_at_us, entries, anomalies, belief, ending } = line;
    let attempt = attempt.map(|attempt| AttemptStory { attempt, client, proxy, proxy_at_us });
    match stories.last_mut().filter(|story| story.payment == payment) {
        Some(story) => story.attempts.extend(attempt),
        None => {
            let attempts = attempt.into_iter().collect();
            stories.push(PaymentStory { payment, belief, ending, anomalies, attempts, entries });
        }
    }
}
