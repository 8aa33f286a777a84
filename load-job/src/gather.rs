//! Fetches what the other two witnesses have to say, once nothing is in flight any more. It must not judge: evidence that
//! is missing or cut is handed on as it is, and the judge sees that it is not whole.

use paylab_experiment::{
    contract::{DRAIN_PATH, LEDGER_PATH, RECORD_PATH},
    ledger::LedgerTally,
    record::RecordTally,
};
use tokio::net::lookup_host;
use tracing::warn;

use crate::{
    Load,
    ask::{AskError, Question, ask},
};

/// How long a part may take to end what is in flight, in milliseconds; less than the silence that `ask` bears.
const DRAIN_MS_MAX: u64 = 10_000;
/// A longer line is no line of evidence, in bytes.
const LINE_LEN_MAX: usize = 64 * 1024;

/// The proxy's record and the service's ledger, added up for the load's share.
#[derive(Debug)]
pub(crate) struct Evidence {
    pub(crate) record: RecordTally,
    pub(crate) ledger: LedgerTally,
}

/// Drains the proxy, then the service, then reads both. A ledger that may still change is not read at all.
pub(crate) async fn gather(load: &Load) -> Evidence {
    let mut evidence = Evidence {
        record: RecordTally::new(&load.plan, &load.run, load.share()),
        ledger: LedgerTally::new(&load.plan, &load.run, load.share()),
    };
    if let Err(error) = drain(&load.control).await {
        warn!(%error, control = load.control, "the proxy cannot be drained, so neither record nor ledger is read");
        return evidence;
    }
    let share = load.share();
    let path = format!("{RECORD_PATH}?from={}&to={}", share.start, share.end);
    if let Err(error) = read_lines(&load.control, &path, |line| evidence.record.take(line)).await {
        warn!(%error, control = load.control, "the proxy's record is not whole");
    }
    if let Err(error) = drain_replicas(load).await {
        warn!(%error, service = load.service, "the payment service cannot be drained, so its ledger is not read");
        return evidence;
    }
    if let Err(error) = read_lines(&load.service, LEDGER_PATH, |line| evidence.ledger.take(line)).await {
        warn!(%error, service = load.service, "the payment service's ledger is not whole");
    }
    evidence
}

/// Drains every pod of the service, where its name leads to several; the ledger is one.
async fn drain_replicas(load: &Load) -> Result<(), AskError> {
    if load.plan.service.replicas == 1 {
        return drain(&load.service).await;
    }
    for replica in lookup_host(&load.service).await? {
        drain(&replica.to_string()).await?;
    }
    Ok(())
}

async fn drain(address: &str) -> Result<(), AskError> {
    let path = format!("{DRAIN_PATH}?timeout_ms={DRAIN_MS_MAX}");
    ask(Question { method: "GET", address, path: &path, body: "" }, |_| ()).await
}

/// Hands a stream of lines on, each with its newline; a last one without is handed on as it is.
async fn read_lines(address: &str, path: &str, mut take: impl FnMut(&[u8])) -> Result<(), AskError> {
    let mut lines = Lines::default();
    let asked = ask(Question { method: "GET", address, path, body: "" }, |data| lines.cut(data, &mut take)).await;
    if !lines.begun.is_empty() {
        take(&lines.begun);
    }
    asked
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
    fn a_line_without_end_does_not_grow_without_end() {
        let (mut lines, mut longest) = (Lines::default(), 0);
        for _ in 0..100 {
            lines.cut(&[b'x'; 10_000], &mut |line: &[u8]| longest = longest.max(line.len()));
        }
        assert!((LINE_LEN_MAX..LINE_LEN_MAX + 10_000).contains(&longest), "{longest}");
    }
}
