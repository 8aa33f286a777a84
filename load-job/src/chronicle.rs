//! Writes the chronicle of a share, once it was judged: counts all payments, chooses those that are told, and reads record and ledger
//! once more for these alone. Nothing of it is kept while the load runs, beside the client's times.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use paylab_core::{
    chronicle::{
        ATTEMPTS_KEPT, BROKEN_KEPT, Chronicle, Counts,
        ending::PaymentEnd,
        histogram::Histograms,
        matrix::Matrix,
        story::{AttemptStory, ClientTrace, EntryStory, PaymentStory, clock_offset_us},
    },
    judge::{anomaly::Anomaly, broken_payments},
    payment::PaymentId,
    witness::{
        history::History,
        ledger::LedgerItem,
        record::{RecordItem, RecordLine},
    },
};
use paylab_part::contract::RECORD_PATH;
use tokio::time::timeout;

use crate::{
    control::{ControlError, read_lines},
    evidence::Evidence,
    load::Load,
    sending::trace::Trace,
    source::LedgerSource,
};

/// What is to be known about a run once it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// Its report.
    Verdict,
    /// Its report and its chronicle.
    Chronicle,
    /// The same with fewer attempts, for a pod with little memory.
    Excerpt,
}

/// How long record and ledger may be read again.
const READ_AGAIN_WITHIN: Duration = Duration::from_secs(60);

impl Telling {
    /// The times of at most this many attempts are noted, of 16 bytes each.
    pub(crate) const fn attempts_timed(self) -> usize {
        match self {
            Self::Verdict => 0,
            Self::Chronicle => 4 * 1024 * 1024,
            Self::Excerpt => 512 * 1024,
        }
    }

    /// At most this many attempts are told of all payments of the run.
    const fn attempts_told(self) -> usize {
        match self {
            Self::Verdict => 0,
            Self::Chronicle => ATTEMPTS_KEPT,
            Self::Excerpt => ATTEMPTS_KEPT / 10,
        }
    }
}

/// A share whose load has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended<'a> {
    pub(crate) load: &'a Load,
    pub(crate) history: &'a History,
    pub(crate) trace: &'a Trace,
    pub(crate) evidence: &'a Evidence,
    pub(crate) telling: Telling,
}

/// What record and ledger say about the payments that are told.
#[derive(Debug, Default)]
struct Read {
    requests: BTreeMap<(u64, u32), RecordLine>,
    entries: HashMap<u64, Vec<EntryStory>>,
    /// Why something could not be read.
    unread: Option<String>,
}

/// Writes the chronicle of a share.
pub(crate) async fn write(ended: Ended<'_>) -> Chronicle {
    let Ended { load, history, trace, evidence, telling } = ended;
    let workers = usize::try_from(load.plan.client.workers.max(1)).unwrap_or(1);
    let most = BROKEN_KEPT / workers;
    let (broken, broken_left_out) = broken_payments(&load.plan, history, &evidence.record, &evidence.ledger, most);
    let (matrix, histograms) = counted(history, evidence);
    let sample = matrix.as_ref().map_or_else(|| sample_of(history), Matrix::named);
    let space = match telling {
        // The shares of a run on one machine are told by the same process.
        Telling::Verdict | Telling::Chronicle => telling.attempts_told(),
        Telling::Excerpt => telling.attempts_told() / workers,
    };
    let told: HashSet<u64> = chosen(history, &broken, &sample, space).into_iter().collect();
    let counts = Counts { matrix, histograms, broken_left_out, attempts_untimed: trace.left_out, unread: None };
    let Ok(read) = timeout(READ_AGAIN_WITHIN, read_again(load, evidence, &told)).await else {
        let late = format!("record and ledger could not be read again within {} s", READ_AGAIN_WITHIN.as_secs());
        return Chronicle { counts: Counts { unread: Some(late), ..counts }, stories: Vec::new() };
    };
    let counts = Counts { unread: read.unread.clone(), ..counts };
    Chronicle { counts, stories: stories(ended, &broken, &told, read) }
}

/// What is counted over all payments.
fn counted(history: &History, Evidence { record, ledger }: &Evidence) -> (Option<Matrix>, Histograms) {
    let ledger_is_whole = ledger.shows_payments();
    let is_whole = ledger_is_whole && record.stream.is_whole();
    let (mut matrix, mut histograms) = (Matrix::default(), Histograms::default());
    for (payment, row) in history.rows() {
        let entries = u64::from(ledger.row(payment).entries());
        histograms.count(u64::from(row.attempts), ledger_is_whole.then_some(entries));
        if is_whole {
            matrix.count(payment.0, PaymentEnd::of(row, entries), record.fates(payment).unwrap_or_default());
        }
    }
    matrix.attempts.clone_from(&record.fate_totals);
    (is_whole.then_some(matrix), histograms)
}

/// Payments to be told where no matrix names any: the first that were tried.
fn sample_of(history: &History) -> Vec<u64> {
    let tried = history.rows().filter(|(_, row)| row.attempts > 0);
    tried.map(|(payment, _)| payment.0).take(paylab_core::chronicle::matrix::CELL_NAMED).collect()
}

/// The payments that are told: the sample, then those that have an anomaly, as long as there is space for their attempts.
fn chosen(history: &History, broken: &BTreeMap<u64, Vec<Anomaly>>, sample: &[u64], space: usize) -> Vec<u64> {
    let mut left = space;
    let candidates = broken.keys().take(1).chain(sample).chain(broken.keys()).copied();
    let fits = |payment: &u64| {
        let attempts = history.row(PaymentId(*payment)).map_or(0, |row| usize::from(row.attempts));
        let fits = attempts <= left;
        left -= if fits { attempts } else { 0 };
        fits
    };
    candidates.collect::<std::collections::BTreeSet<_>>().into_iter().filter(fits).collect()
}

/// Reads record and ledger again. What is not the same as at the first time is not told.
async fn read_again(load: &Load, evidence: &Evidence, told: &HashSet<u64>) -> Read {
    let mut read = Read::default();
    if !evidence.record.stream.is_whole() {
        read.unread = Some("the proxy's record is not whole".to_owned());
    } else if let Err(error) = read_record(load, told, &mut read).await {
        read.unread = Some(format!("the proxy's record could not be read again: {error}"));
    }
    if load.plan.target.shows_total_only() {
        read.unread.get_or_insert_with(|| "the ledger shows a total and no entry".to_owned());
    } else if !evidence.ledger.stream.is_whole() {
        read.unread.get_or_insert_with(|| "the ledger is not whole".to_owned());
    } else if let Err(problem) = read_ledger(load, evidence, told, &mut read).await {
        read.entries.clear();
        read.unread.get_or_insert(problem);
    }
    read
}

async fn read_record(load: &Load, told: &HashSet<u64>, read: &mut Read) -> Result<(), ControlError> {
    let share = load.share();
    let path = format!("{RECORD_PATH}?from={}&to={}", share.start, share.end);
    read_lines(&load.control, &path, |line| {
        if let Ok(RecordItem::Request(request)) = serde_json::from_slice(line)
            && request.attributed
            && told.contains(&request.payment)
        {
            read.requests.insert((request.payment, request.attempt), request);
        }
    })
    .await
}

async fn read_ledger(load: &Load, evidence: &Evidence, told: &HashSet<u64>, read: &mut Read) -> Result<(), String> {
    let mut again = evidence.ledger.begun_again();
    let mut keep = |line: &[u8]| {
        let Ok(LedgerItem::Entry(entry)) = serde_json::from_slice(line) else { return };
        let payment = entry.reference.as_deref().and_then(|reference| load.run.payment_of(reference));
        if let Some(payment) = payment.filter(|payment| told.contains(&payment.0)) {
            let entries = read.entries.entry(payment.0).or_default();
            entries.push(EntryStory { id: entry.id, amount_minor: entry.amount_minor });
        }
    };
    let result = LedgerSource::of(load).read_each(&mut again, &mut keep).await;
    result.map_err(|error| format!("the ledger could not be read again: {error}"))?;
    if again.stream.seal() == evidence.ledger.stream.seal() {
        Ok(())
    } else {
        Err("the ledger has changed after it was judged".to_owned())
    }
}

fn stories(
    ended: Ended<'_>,
    broken: &BTreeMap<u64, Vec<Anomaly>>,
    told: &HashSet<u64>,
    read: Read,
) -> Vec<PaymentStory> {
    let Read { requests, mut entries, unread: _ } = read;
    let traces = ended.trace.of(|payment| told.contains(&payment));
    let pairs = traces.iter().filter_map(|(id, trace)| Some((trace, requests.get(id)?)));
    let offset = clock_offset_us(pairs);
    let ledger_is_read = ended.evidence.ledger.shows_payments();
    let mut attempts = attempts(&traces, requests, offset);
    let mut payments: Vec<_> = told.iter().copied().collect();
    payments.sort_unstable();
    let story = |payment: u64| {
        let row = ended.history.row(PaymentId(payment))?;
        Some(PaymentStory {
            payment,
            belief: row.belief,
            ending: row.ending,
            anomalies: broken.get(&payment).cloned().unwrap_or_default(),
            attempts: attempts.remove(&payment).unwrap_or_default(),
            entries: ledger_is_read.then(|| entries.remove(&payment).unwrap_or_default()),
        })
    };
    payments.into_iter().filter_map(story).collect()
}

/// What client and proxy say about each attempt, by payment and in the order of their numbers.
fn attempts(
    traces: &HashMap<(u64, u32), ClientTrace>,
    mut requests: BTreeMap<(u64, u32), RecordLine>,
    offset_us: Option<i64>,
) -> BTreeMap<u64, Vec<AttemptStory>> {
    let mut ids: Vec<_> = traces.keys().chain(requests.keys()).copied().collect();
    ids.sort_unstable();
    ids.dedup();
    let mut attempts: BTreeMap<u64, Vec<AttemptStory>> = BTreeMap::new();
    for (payment, attempt) in ids {
        let proxy = requests.remove(&(payment, attempt));
        let at_us = proxy.as_ref().map(|line| line.t_us.saturating_add_signed(offset_us.unwrap_or(0)));
        let client = traces.get(&(payment, attempt)).copied();
        attempts.entry(payment).or_default().push(AttemptStory { attempt, client, proxy, proxy_at_us: at_us });
    }
    attempts
}
