//! The times of attempts as the client has seen them, for a chronicle: 16 bytes for each attempt, and only if somebody asks for them.

use std::{collections::HashMap, time::Duration};

use paylab_core::{
    chronicle::story::ClientTrace,
    payment::AttemptId,
    witness::attempt::{Acknowledgement, AttemptOutcome, Rejection, Uncertainty},
};

/// The unit of the time at which an attempt began, in microseconds: half a day fits four bytes.
const START_UNIT_US: u64 = 10;
/// The status is in the lower bits of a row's code, the outcome in the upper bits.
const STATUS_BITS: u16 = 10;

/// Whether the times of attempts are noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tracing {
    Off,
    /// Those of at most this many attempts, of 16 bytes each.
    UpTo(usize),
}

/// The times of attempts.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    first: u64,
    rows: Vec<Row>,
    rows_max: usize,
    /// Attempts that were not noted.
    pub(crate) left_out: u64,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    /// Counted from the first payment of the share.
    payment: u32,
    /// In units of [`START_UNIT_US`] since the load began.
    start: u32,
    took_us: u32,
    attempt: u16,
    code: u16,
}

impl Trace {
    /// An empty trace of a share that begins with a payment, with space for so many attempts.
    pub(crate) const fn new(first: u64, rows_max: usize) -> Self {
        Self { first, rows: Vec::new(), rows_max, left_out: 0 }
    }

    /// Notes an attempt, if its numbers fit a row and there is space.
    pub(crate) fn note(
        &mut self,
        id: AttemptId,
        start: Duration,
        took: Duration,
        outcome: AttemptOutcome,
        status: Option<u16>,
    ) {
        match self.row(id, start, took, code(outcome, status)) {
            Some(row) if self.rows.len() < self.rows_max => self.rows.push(row),
            Some(_) | None => self.left_out += 1,
        }
    }

    fn row(&self, id: AttemptId, start: Duration, took: Duration, code: u16) -> Option<Row> {
        Some(Row {
            payment: u32::try_from(id.payment.0.checked_sub(self.first)?).ok()?,
            start: u32::try_from(start.as_micros() / u128::from(START_UNIT_US)).ok()?,
            took_us: u32::try_from(took.as_micros()).ok()?,
            attempt: u16::try_from(id.attempt).ok()?,
            code,
        })
    }

    /// What was noted of the attempts of some payments.
    pub(crate) fn of(&self, is_wanted: impl Fn(u64) -> bool) -> HashMap<(u64, u32), ClientTrace> {
        let payment = |row: &Row| self.first + u64::from(row.payment);
        let wanted = self.rows.iter().filter(|row| is_wanted(payment(row)));
        wanted.filter_map(|row| Some(((payment(row), u32::from(row.attempt)), row.trace()?))).collect()
    }
}

impl Row {
    fn trace(self) -> Option<ClientTrace> {
        let (outcome, status) = decoded(self.code)?;
        let start_us = u64::from(self.start) * START_UNIT_US;
        Some(ClientTrace { start_us, took_us: u64::from(self.took_us), outcome, status })
    }
}

/// Every outcome of an attempt. Its place here is its code.
const OUTCOMES: [AttemptOutcome; 11] = [
    AttemptOutcome::Acknowledged(Acknowledgement::New),
    AttemptOutcome::Acknowledged(Acknowledgement::Repeat),
    AttemptOutcome::Rejected(Rejection::Refused),
    AttemptOutcome::Rejected(Rejection::Unreached),
    AttemptOutcome::Rejected(Rejection::NoPort),
    AttemptOutcome::Unknown(Uncertainty::Reset),
    AttemptOutcome::Unknown(Uncertainty::Eof),
    AttemptOutcome::Unknown(Uncertainty::Timeout),
    AttemptOutcome::Unknown(Uncertainty::Retryable),
    AttemptOutcome::Unknown(Uncertainty::Garbled),
    AttemptOutcome::Unknown(Uncertainty::Stopped),
];

fn code(outcome: AttemptOutcome, status: Option<u16>) -> u16 {
    let place = OUTCOMES.iter().position(|known| *known == outcome).and_then(|place| u16::try_from(place).ok());
    // An outcome that has no place is read back as none.
    let status = status.filter(|status| *status < 1 << STATUS_BITS).unwrap_or(0);
    place.unwrap_or(u16::MAX >> STATUS_BITS) << STATUS_BITS | status
}

fn decoded(code: u16) -> Option<(AttemptOutcome, Option<u16>)> {
    let outcome = OUTCOMES.get(usize::from(code >> STATUS_BITS)).copied()?;
    let status = code & ((1 << STATUS_BITS) - 1);
    Some((outcome, (status != 0).then_some(status)))
}

#[cfg(test)]
mod tests {
    use paylab_core::payment::PaymentId;

    use super::*;

    #[test]
    fn a_row_takes_sixteen_bytes_and_reads_back_as_it_was_noted() {
        assert_eq!(size_of::<Row>(), 16);
        let mut trace = Trace::new(500, 100);
        let (start, took) = (Duration::from_micros(1_230), Duration::from_micros(77));
        for (attempt, outcome) in (1..).zip(OUTCOMES) {
            let id = AttemptId { payment: PaymentId(507), attempt };
            trace.note(id, start, took, outcome, (attempt % 2 == 0).then_some(599));
        }
        let traces = trace.of(|payment| payment == 507);
        for (attempt, outcome) in (1..).zip(OUTCOMES) {
            let status = (attempt % 2 == 0).then_some(599);
            let expected = ClientTrace { start_us: 1_230, took_us: 77, outcome, status };
            assert_eq!(traces.get(&(507, attempt)), Some(&expected), "{outcome:?}");
        }
        assert!(trace.of(|payment| payment == 508).is_empty());
    }

    #[test]
    fn what_does_not_fit_a_row_is_counted_and_not_noted_wrongly() {
        let mut trace = Trace::new(0, 1);
        let id = AttemptId { payment: PaymentId(0), attempt: 1 };
        trace.note(id, Duration::from_secs(24 * 3600), Duration::ZERO, OUTCOMES[0], None);
        trace.note(AttemptId { attempt: 70_000, ..id }, Duration::ZERO, Duration::ZERO, OUTCOMES[0], None);
        assert_eq!((trace.of(|_| true).len(), trace.left_out), (0, 2));
        trace.note(id, Duration::ZERO, Duration::ZERO, OUTCOMES[0], None);
        trace.note(AttemptId { attempt: 2, ..id }, Duration::ZERO, Duration::ZERO, OUTCOMES[0], None);
        assert_eq!((trace.of(|_| true).len(), trace.left_out), (1, 3), "there is space for one attempt only");
    }
}
