//! The judge's ground truth: every request of one run, kept as it begins and completed when it ends. Requests in
//! flight are in memory, ended ones in a temporary file that has no name. It must not know how a fate is carried out.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use paylab_experiment::{
    evidence::Seal,
    fate::{Dice, Die},
    record::{End, RecordFooter},
    spec::Point,
};
use tracing::warn;

pub(crate) use crate::fault::record::row::{Arrived, Attribution, Course, Seat};
use crate::{fault::counters::count, fault::record::row::Row};

pub(crate) mod export;
mod row;

/// So much is gathered before it is written to the file.
const TAIL_LEN: usize = 64 * 1024;

/// The record of one run.
#[derive(Debug)]
pub(crate) struct Record {
    run_id: String,
    dice: Dice,
    began: Instant,
    file: File,
    state: Mutex<State>,
    connections: AtomicU64,
    unintended_resets: AtomicU64,
    lapsed: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    requests: u64,
    unattributed: u64,
    unrecorded: u64,
    in_flight: BTreeMap<u64, Row>,
    /// Whole rows in the file.
    rows_on_disk: u64,
    /// Whole rows that are not in the file yet.
    tail: Vec<u8>,
}

/// A request in flight. Dropped uncompleted, it stays in the record as intended.
#[derive(Debug)]
pub(crate) struct Line {
    record: Arc<Record>,
    seq: u64,
    fault: Option<usize>,
}

impl Record {
    /// An empty record, with a temporary file of its own.
    pub(crate) fn new(run_id: String, dice: Dice) -> io::Result<Self> {
        Ok(Self {
            run_id,
            dice,
            began: Instant::now(),
            file: tempfile::tempfile()?,
            state: Mutex::new(State::default()),
            connections: AtomicU64::new(0),
            unintended_resets: AtomicU64::new(0),
            lapsed: AtomicU64::new(0),
        })
    }

    /// The dice of this run; a record never changes them.
    pub(crate) const fn dice(&self) -> &Dice {
        &self.dice
    }

    /// How long ago the rules were put, in microseconds.
    pub(crate) fn age_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Gives a new connection its number, from 0.
    pub(crate) fn number_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts a request that passed because the rules had lapsed.
    pub(crate) fn count_lapsed(&self) {
        count(&self.lapsed);
    }

    /// Writes a request down as intended.
    pub(crate) fn begin(self: &Arc<Self>, arrived: &Arrived) -> Line {
        let t_us = self.age_us();
        let mut state = self.lock();
        let seq = state.requests;
        state.requests += 1;
        state.unattributed += u64::from(arrived.attribution == Attribution::Seated);
        state.in_flight.insert(seq, Row::intended(seq, t_us, arrived));
        Line { record: Arc::clone(self), seq, fault: arrived.fault }
    }

    fn complete(&self, seq: u64, course: Course, end: End) {
        let mut state = self.lock();
        let Some(mut row) = state.in_flight.remove(&seq) else { return };
        row.course = course;
        row.end = end;
        row.write(self.dice.dies().len(), &mut state.tail);
        if state.tail.len() >= TAIL_LEN {
            self.write_tail(&mut state);
        }
    }

    /// Moves the tail to the file. A full disk costs the record its rows, and is confessed; it never costs a relay.
    fn write_tail(&self, state: &mut State) {
        let row_len = Row::len(self.dice.dies().len()) as u64;
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
            connections: self.connections.load(Ordering::Relaxed),
            unattributed: state.unattributed,
            unintended_resets: self.unintended_resets.load(Ordering::Relaxed),
            unrecorded: state.unrecorded,
            lapsed: self.lapsed.load(Ordering::Relaxed),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// The fault that takes effect on this request.
    pub(crate) fn fault(&self) -> Option<&Die> {
        self.fault.and_then(|index| self.record.dice.dies().get(index))
    }

    /// Where that fault resets.
    pub(crate) fn point(&self) -> Option<Point> {
        self.fault().map(|die| die.point)
    }

    /// Writes down how the request ended.
    pub(crate) fn complete(self, course: Course, end: End) {
        self.record.complete(self.seq, course, end);
    }

    /// Counts a reset of this request's connection that no fault said so.
    pub(crate) fn count_unintended_reset(&self) {
        count(&self.record.unintended_resets);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.record.complete(self.seq, Course::default(), End::Intended);
    }
}
