//! The record of one run, which the judge relies on: an entry for every request, opened when the request begins and
//! completed when it ends. Entries of requests in flight are in memory; `rows` keeps the completed ones.
//! It must not know how a fate is carried out.

use std::{collections::BTreeMap, fs::File, io, sync::Arc, time::Instant};

use paylab_core::{
    fault::sampler::{Fault, FaultSampler},
    witness::{
        record::{End, KillTimes, RecordFooter},
        seal::Seal,
    },
};

pub(crate) use crate::fault::record::row::{Attribution, IdentifiedRequest, Ordinal, Transfer};
use crate::{
    counter::Counter,
    fault::{
        fate::Fate,
        record::{row::Row, rows::RowFile},
    },
};

pub(crate) mod export;
pub(crate) mod row;
pub(crate) mod rows;

/// The record of one run.
#[derive(Debug)]
pub(crate) struct Record {
    run_id: String,
    sampler: FaultSampler,
    began: Instant,
    rows: Arc<RowFile<Requests>>,
    connections: Counter,
    unintended_resets: Counter,
    lapsed: Counter,
}

/// The requests that have begun.
#[derive(Debug, Default)]
struct Requests {
    count: u64,
    unattributed: u64,
    in_flight: BTreeMap<u64, Row>,
}

/// The entry of a request in flight. If it is dropped before it was completed, the record keeps its request as intended.
#[derive(Debug)]
pub(crate) struct OpenEntry {
    record: Arc<Record>,
    seq: u64,
    fault: Option<usize>,
    /// Whether the file of the record was so far behind that the request should wait.
    pub(crate) must_wait: bool,
    /// What happens to the request.
    pub(crate) fate: Fate,
    /// How long the request or its response was held, in microseconds, once a hold is over.
    pub(crate) held_us: Option<u64>,
    /// The death of the service, once it was ordered.
    pub(crate) kill: Option<KillTimes>,
}

impl Record {
    /// Creates an empty record with a temporary file of its own.
    pub(crate) fn new(run_id: String, sampler: FaultSampler) -> io::Result<Self> {
        Self::in_file(tempfile::tempfile()?, run_id, sampler)
    }

    fn in_file(file: File, run_id: String, sampler: FaultSampler) -> io::Result<Self> {
        let rows = RowFile::with_writer(file, Row::len(sampler.faults().len()))?;
        let (connections, unintended_resets, lapsed) = (Counter::default(), Counter::default(), Counter::default());
        Ok(Self { run_id, sampler, began: Instant::now(), rows, connections, unintended_resets, lapsed })
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
        let mut rows = self.rows.lock();
        let requests = &mut rows.with;
        let seq = requests.count;
        requests.count += 1;
        requests.unattributed += u64::from(request.attribution == Attribution::ByOrdinal);
        // The time is read under the lock, so that it rises with the number.
        requests.in_flight.insert(seq, Row::intended(seq, self.age_us(), request));
        let must_wait = rows.is_full();
        drop(rows);
        let (fault, fate) = (request.fault, request.fate);
        OpenEntry { record: Arc::clone(self), seq, fault, must_wait, fate, held_us: None, kill: None }
    }

    fn complete(&self, seq: u64, transfer: Transfer, end: End) {
        let ended_us = self.age_us();
        let mut rows = self.rows.lock();
        let Some(mut row) = rows.with.in_flight.remove(&seq) else { return };
        row.transfer = transfer;
        row.took_us = u32::try_from(ended_us.saturating_sub(row.t_us)).ok();
        row.end = end;
        self.rows.append(&mut rows, |out| row.write(self.sampler.faults().len(), out));
    }

    fn footer(&self, requests: &Requests, unrecorded: u64, seal: Seal) -> RecordFooter {
        RecordFooter {
            seal,
            run_id: Some(self.run_id.clone()),
            requests: requests.count,
            connections: self.connections.value(),
            unattributed: requests.unattributed,
            unintended_resets: self.unintended_resets.value(),
            unrecorded,
            lapsed: self.lapsed.value(),
        }
    }

    /// The completed rows that are still in memory.
    #[cfg(test)]
    pub(crate) fn completed(&self) -> Vec<Row> {
        let faults = self.sampler.faults().len();
        let blocks = self.rows.lock().now().in_memory;
        let bytes = blocks.iter().flat_map(|block| block.chunks(Row::len(faults)));
        bytes.filter_map(|bytes| Row::read(faults, bytes)).collect()
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.rows.close();
    }
}

impl OpenEntry {
    /// The fault that takes effect on this request.
    pub(crate) fn fault(&self) -> Option<&Fault> {
        self.fault.and_then(|index| self.record.sampler.faults().get(index))
    }

    /// Completes an entry with what was transferred and how the request ended.
    pub(crate) fn complete(self, transfer: Transfer, end: End) {
        self.record.complete(self.seq, Transfer { held_us: self.held_us, kill: self.kill, ..transfer }, end);
    }

    /// Completes an entry, if there is one: without rules in force there is none.
    pub(crate) fn complete_some(entry: Option<Self>, transfer: Transfer, end: End) {
        if let Some(entry) = entry {
            entry.complete(transfer, end);
        }
    }

    /// The time since the rules were put, in microseconds.
    pub(crate) fn now_us(&self) -> u64 {
        self.record.age_us()
    }

    /// Waits while the file of the record is far behind.
    pub(crate) async fn await_room(&self) {
        self.record.rows.await_room().await;
    }

    /// Counts a reset of this request's connection that no fault ordered.
    pub(crate) fn count_unintended_reset(&self) {
        self.record.unintended_resets.increment();
    }
}

impl Drop for OpenEntry {
    fn drop(&mut self) {
        let transfer = Transfer { held_us: self.held_us, kill: self.kill, ..Transfer::default() };
        self.record.complete(self.seq, transfer, End::Intended);
    }
}
