//! The record of one run, which the judge relies on: an entry for every request, opened when the request begins and
//! completed when it ends. Entries of requests in flight are in memory, completed ones in a temporary file without a name.
//! It must not know how a fate is carried out.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use paylab_core::{
    fault::sampler::{Fault, FaultSampler},
    witness::{
        record::{End, RecordFooter},
        seal::Seal,
    },
};
use tracing::warn;

pub(crate) use crate::fault::record::row::{Attribution, IdentifiedRequest, Ordinal, Transfer};
use crate::{
    counter::Counter,
    fault::{fate::Fate, record::row::Row},
};

pub(crate) mod export;
pub(crate) mod row;

/// Completed rows are gathered up to this many bytes before they are written to the file.
const TAIL_LEN: usize = 64 * 1024;

/// The record of one run.
#[derive(Debug)]
pub(crate) struct Record {
    run_id: String,
    sampler: FaultSampler,
    began: Instant,
    file: File,
    state: Mutex<State>,
    connections: Counter,
    unintended_resets: Counter,
    lapsed: Counter,
}

#[derive(Debug, Default)]
struct State {
    requests: u64,
    unattributed: u64,
    unrecorded: u64,
    in_flight: BTreeMap<u64, Row>,
    /// How many whole rows are in the file.
    rows_on_disk: u64,
    /// Whole rows that were not written to the file yet.
    tail: Vec<u8>,
}

/// The entry of a request in flight. If it is dropped before it was completed, the record keeps its request as intended.
#[derive(Debug)]
pub(crate) struct OpenEntry {
    record: Arc<Record>,
    seq: u64,
    fault: Option<usize>,
    /// What happens to the request.
    pub(crate) fate: Fate,
    /// How long the request or its response was held, in microseconds, once a hold is over.
    pub(crate) held_us: Option<u64>,
}

impl Record {
    /// Creates an empty record with a temporary file of its own.
    pub(crate) fn new(run_id: String, sampler: FaultSampler) -> io::Result<Self> {
        Ok(Self {
            run_id,
            sampler,
            began: Instant::now(),
            file: tempfile::tempfile()?,
            state: Mutex::new(State::default()),
            connections: Counter::default(),
            unintended_resets: Counter::default(),
            lapsed: Counter::default(),
        })
    }

    /// The faults and the seed of this run, which never change.
    pub(crate) const fn sampler(&self) -> &FaultSampler {
        &self.sampler
    }

    /// The time since the rules were put, in microseconds.
    pub(crate) fn age_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Counts a new connection and returns its number, from 0.
    pub(crate) fn number_connection(&self) -> u64 {
        self.connections.increment()
    }

    /// Counts a request that passed because the lease of the rules had expired.
    pub(crate) fn count_lapsed(&self) {
        self.lapsed.increment();
    }

    /// Opens the entry of a request. Until it is completed the record shows the request as intended.
    pub(crate) fn begin(self: &Arc<Self>, request: &IdentifiedRequest) -> OpenEntry {
        let t_us = self.age_us();
        let mut state = self.lock();
        let seq = state.requests;
        state.requests += 1;
        state.unattributed += u64::from(request.attribution == Attribution::ByOrdinal);
        state.in_flight.insert(seq, Row::intended(seq, t_us, request));
        OpenEntry { record: Arc::clone(self), seq, fault: request.fault, fate: request.fate, held_us: None }
    }

    fn complete(&self, seq: u64, transfer: Transfer, end: End) {
        let ended_us = self.age_us();
        let mut state = self.lock();
        let Some(mut row) = state.in_flight.remove(&seq) else { return };
        row.transfer = transfer;
        row.took_us = u32::try_from(ended_us.saturating_sub(row.t_us)).ok();
        row.end = end;
        row.write(self.sampler.faults().len(), &mut state.tail);
        if state.tail.len() >= TAIL_LEN {
            self.write_tail(&mut state);
        }
    }

    /// Writes the tail to the file. If that fails, for example on a full disk, the rows are lost and the footer counts them;
    /// requests are relayed all the same.
    fn write_tail(&self, state: &mut State) {
        let row_len = Row::len(self.sampler.faults().len()) as u64;
        let rows = state.tail.len() as u64 / row_len;
        match self.file.write_all_at(&state.tail, state.rows_on_disk * row_len) {
            Ok(()) => state.rows_on_disk += rows,
            Err(error) => {
                warn!(rows, %error, "lost rows of the record");
                state.unrecorded += rows;
            }
        }
        state.tail.clear();
    }

    fn footer(&self, state: &State, seal: Seal) -> RecordFooter {
        RecordFooter {
            seal,
            run_id: Some(self.run_id.clone()),
            requests: state.requests,
            connections: self.connections.value(),
            unattributed: state.unattributed,
            unintended_resets: self.unintended_resets.value(),
            unrecorded: state.unrecorded,
            lapsed: self.lapsed.value(),
        }
    }

    /// The completed rows that are still in memory.
    #[cfg(test)]
    pub(crate) fn completed(&self) -> Vec<Row> {
        let faults = self.sampler.faults().len();
        self.lock().tail.chunks(Row::len(faults)).filter_map(|bytes| Row::read(faults, bytes)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenEntry {
    /// The fault that takes effect on this request.
    pub(crate) fn fault(&self) -> Option<&Fault> {
        self.fault.and_then(|index| self.record.sampler.faults().get(index))
    }

    /// Completes an entry with what was transferred and how the request ended.
    pub(crate) fn complete(self, transfer: Transfer, end: End) {
        self.record.complete(self.seq, Transfer { held_us: self.held_us, ..transfer }, end);
    }

    /// Completes an entry, if there is one: without rules in force there is none.
    pub(crate) fn complete_some(entry: Option<Self>, transfer: Transfer, end: End) {
        if let Some(entry) = entry {
            entry.complete(transfer, end);
        }
    }

    /// Counts a reset of this request's connection that no fault ordered.
    pub(crate) fn count_unintended_reset(&self) {
        self.record.unintended_resets.increment();
    }
}

impl Drop for OpenEntry {
    fn drop(&mut self) {
        let transfer = Transfer { held_us: self.held_us, ..Transfer::default() };
        self.record.complete(self.seq, transfer, End::Intended);
    }
}
