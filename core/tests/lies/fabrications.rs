//! Random lies: each changes one thing of one witness.

use paylab_core::{
    fault::point::Point,
    witness::{
        attempt::{Acknowledgement, AttemptOutcome, Ending, Rejection, Uncertainty},
        record::{Coin, End, RecordLine},
    },
};
use proptest::sample::Index;
use serde_json::{Value, json};

use crate::story::{Course, Story};

const ACKNOWLEDGED: AttemptOutcome = AttemptOutcome::Acknowledged(Acknowledgement::New);
const REFUSED: AttemptOutcome = AttemptOutcome::Rejected(Rejection::Refused);
const BUSY: AttemptOutcome = AttemptOutcome::Unknown(Uncertainty::Retryable);
const RESET: AttemptOutcome = AttemptOutcome::Unknown(Uncertainty::Reset);

/// One lie, by what it is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lie {
    /// What the service has booked.
    Ledger(LedgerLie),
    /// What the client says.
    History(HistoryLie),
    /// What the proxy says of a request.
    Record(RecordLie),
    /// What proxy and service have counted.
    Count(CountLie),
    /// How record and ledger are shown.
    Shown(ShownLie),
}

/// What the service books.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LedgerLie {
    Drop,
    Double,
    Forge,
    Move,
    Amount,
    Payee,
    OtherRun,
    Keyless,
}

/// What the client says of a payment.
#[derive(Debug, Clone, Copy)]
pub(crate) enum HistoryLie {
    Acknowledge,
    GiveUp,
    Refuse,
    RefuseAll,
    Stick,
    Unend,
}

/// What the proxy says of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RecordLie {
    Drop,
    Double,
    Move,
    Arrived,
    Lost,
    Status,
    End,
    Coin,
    Fault,
    Point,
    NoReset,
    Attempt,
    Stranger,
}

/// What proxy and service have counted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CountLie {
    Connections,
    Strangers,
    UnintendedResets,
    Unrecorded,
    Lapsed,
    Requests,
    Booked,
}

/// How record and ledger are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ShownLie {
    CutRecord,
    CutLedger,
    SwapRecord,
    Total,
    Lines,
    InFlight,
    Booked,
    Elsewhere,
}

/// A story, and what the client has noted of every payment in it.
#[derive(Debug)]
pub(crate) struct Fabrication {
    pub(crate) story: Story,
    pub(crate) courses: Vec<Course>,
}

impl Lie {
    /// Every lie.
    pub(crate) fn all() -> Vec<Self> {
        use {CountLie as C, HistoryLie as H, LedgerLie as L, RecordLie as R, ShownLie as S};
        let ledger = [L::Drop, L::Double, L::Forge, L::Move, L::Amount, L::Payee, L::OtherRun, L::Keyless];
        let history = [H::Acknowledge, H::GiveUp, H::Refuse, H::RefuseAll, H::Stick, H::Unend];
        let record = [
            R::Drop,
            R::Double,
            R::Move,
            R::Arrived,
            R::Lost,
            R::Status,
            R::End,
            R::Coin,
            R::Fault,
            R::Point,
            R::NoReset,
            R::Attempt,
            R::Stranger,
        ];
        let counts =
            [C::Connections, C::Strangers, C::UnintendedResets, C::Unrecorded, C::Lapsed, C::Requests, C::Booked];
        let shown =
            [S::CutRecord, S::CutLedger, S::SwapRecord, S::Total, S::Lines, S::InFlight, S::Booked, S::Elsewhere];
        let mut all: Vec<_> = ledger.map(Self::Ledger).into();
        all.extend(history.map(Self::History));
        all.extend(record.map(Self::Record));
        all.extend(counts.map(Self::Count));
        all.extend(shown.map(Self::Shown));
        all
    }

    /// Lines are changed after all else, and cut last.
    pub(crate) const fn order(self) -> u8 {
        match self {
            Self::Ledger(_) | Self::History(_) | Self::Record(_) | Self::Count(_) => 0,
            Self::Shown(ShownLie::CutRecord | ShownLie::CutLedger) => 2,
            Self::Shown(
                ShownLie::SwapRecord
                | ShownLie::Total
                | ShownLie::Lines
                | ShownLie::InFlight
                | ShownLie::Booked
                | ShownLie::Elsewhere,
            ) => 1,
        }
    }

    /// Whether neither what was booked nor what the client believes is other than it was.
    pub(crate) const fn is_about_the_instrument(self) -> bool {
        match self {
            Self::Ledger(_) | Self::History(_) => false,
            Self::Record(_) | Self::Count(_) | Self::Shown(_) => true,
        }
    }
}

impl Fabrication {
    /// Tells one lie. `place` chooses what it is about, and `value` what is said.
    pub(crate) fn tell(&mut self, lie: Lie, place: Index, value: u8) {
        match lie {
            Lie::Ledger(lie) => self.book(lie, place, value),
            Lie::History(lie) => self.remember(lie, place),
            Lie::Record(lie) => self.record(lie, place, value),
            Lie::Count(lie) => self.count(lie, value),
            Lie::Shown(lie) => self.show(lie, place),
        }
    }

    fn book(&mut self, lie: LedgerLie, place: Index, value: u8) {
        let payment = u64::from(value) % self.story.evidence.plan.count;
        let forged = self.story.evidence.entry(payment, self.story.evidence.plan.amount.0);
        let entries = &mut self.story.evidence.entries;
        if entries.is_empty() || matches!(lie, LedgerLie::Forge) {
            entries.push(forged);
            return;
        }
        let next = forged.id;
        let index = place.index(entries.len());
        let entry = &mut entries[index];
        match lie {
            LedgerLie::Drop => drop(entries.remove(index)),
            LedgerLie::Double => {
                let doubled = paylab_core::witness::ledger::Entry { id: next, ..entry.clone() };
                entries.push(doubled);
            }
            LedgerLie::Forge => {}
            LedgerLie::Move => entry.reference = forged.reference,
            LedgerLie::Amount => entry.amount_minor += i64::from(value) + 1,
            LedgerLie::Payee => entry.dest = "mallory".to_owned(),
            LedgerLie::OtherRun => entry.reference = Some("run-2.3".to_owned()),
            LedgerLie::Keyless => entry.reference = None,
        }
    }

    fn remember(&mut self, lie: HistoryLie, place: Index) {
        let index = place.index(self.courses.len());
        let (outcomes, ending) = &mut self.courses[index];
        let (all, last, end) = match lie {
            HistoryLie::Acknowledge => (None, ACKNOWLEDGED, Ending::Acknowledged),
            HistoryLie::GiveUp => (Some(RESET), RESET, Ending::GaveUp),
            HistoryLie::Refuse => (Some(RESET), REFUSED, Ending::Refused),
            HistoryLie::RefuseAll => (Some(REFUSED), REFUSED, Ending::Refused),
            HistoryLie::Stick => (Some(RESET), BUSY, Ending::Stuck),
            HistoryLie::Unend => (Some(RESET), RESET, Ending::Unended),
        };
        if let Some(all) = all {
            outcomes.fill(all);
        }
        *outcomes.last_mut().expect("every payment was tried") = last;
        *ending = end;
        self.story.remember(&self.courses);
    }

    fn record(&mut self, lie: RecordLie, place: Index, value: u8) {
        let requests = &mut self.story.evidence.requests;
        if requests.is_empty() {
            return;
        }
        let index = place.index(requests.len());
        match lie {
            RecordLie::Drop => drop(requests.remove(index)),
            RecordLie::Double => requests.push(requests[index].clone()),
            RecordLie::Move => requests[index].payment = u64::from(value) % self.story.evidence.plan.count,
            RecordLie::Arrived
            | RecordLie::Lost
            | RecordLie::Status
            | RecordLie::End
            | RecordLie::Coin
            | RecordLie::Fault
            | RecordLie::Point
            | RecordLie::NoReset
            | RecordLie::Attempt
            | RecordLie::Stranger => tell_of(&mut requests[index], lie, value),
        }
    }

    fn count(&mut self, lie: CountLie, value: u8) {
        let by = u64::from(value % 2) + 1;
        let nudge = |count: &mut u64| *count = if value < 128 { count.saturating_sub(by) } else { *count + by };
        let evidence = &mut self.story.evidence;
        match lie {
            CountLie::Connections => nudge(&mut evidence.record_footer.connections),
            CountLie::Strangers => nudge(&mut evidence.record_footer.unattributed),
            CountLie::UnintendedResets => nudge(&mut evidence.record_footer.unintended_resets),
            CountLie::Unrecorded => nudge(&mut evidence.record_footer.unrecorded),
            CountLie::Lapsed => nudge(&mut evidence.record_footer.lapsed),
            CountLie::Requests => nudge(&mut evidence.service_requests),
            CountLie::Booked => nudge(&mut evidence.uncounted_entries),
        }
    }

    fn show(&mut self, lie: ShownLie, place: Index) {
        let story = &mut self.story;
        let add = |value: &mut Value| *value = json!(value.as_i64().unwrap_or_default() + 1);
        match lie {
            ShownLie::CutRecord => story.bend_record(|lines| lines.truncate(place.index(lines.len().max(1)))),
            ShownLie::CutLedger => story.bend_ledger(|lines| lines.truncate(place.index(lines.len().max(1)))),
            ShownLie::SwapRecord => story.bend_record(|lines| lines.rotate_left(1)),
            ShownLie::Total => story.bend_ledger_footer(|footer| add(&mut footer["total_minor"])),
            ShownLie::Lines => story.bend_ledger_footer(|footer| add(&mut footer["lines"])),
            ShownLie::InFlight => story.bend_ledger_footer(|footer| add(&mut footer["counters"]["in_flight"])),
            ShownLie::Booked => story.bend_ledger_footer(|footer| add(&mut footer["counters"]["booked"])),
            ShownLie::Elsewhere => story.bend_ledger_footer(|footer| add(&mut footer["elsewhere"]["entries"])),
        }
    }
}

/// Says something else of a request.
fn tell_of(request: &mut RecordLine, lie: RecordLie, value: u8) {
    let ends = [End::Intended, End::Faulted, End::Relayed, End::ClientGone, End::ServiceGone, End::Unreachable];
    let statuses = [None, Some(200), Some(208), Some(204), Some(400), Some(409), Some(422), Some(503)];
    let is_refused = request.status.is_some_and(|status| status >= 300);
    match lie {
        RecordLie::Drop | RecordLie::Double | RecordLie::Move => {}
        // That the service acknowledged what it has refused is known from the record alone, so it is believed where the client does not
        // know the answers to all of its attempts.
        RecordLie::Arrived if is_refused => {}
        RecordLie::Arrived => (request.forwarded_whole, request.status) = (true, Some(200)),
        RecordLie::Lost => (request.forwarded_whole, request.status) = (false, None),
        RecordLie::Status if is_refused => {}
        RecordLie::Status => request.status = statuses[usize::from(value) % statuses.len()],
        RecordLie::End => request.end = ends[usize::from(value) % ends.len()],
        RecordLie::Coin => request.coins[0] = Coin(u64::from(value)),
        RecordLie::Fault => request.fault = None,
        RecordLie::Point => request.at = Some(Point::AfterRequest),
        RecordLie::NoReset => request.rst_client_ok = Some(false),
        RecordLie::Attempt => request.attempt += u32::from(value) + 1,
        RecordLie::Stranger => request.attributed = false,
    }
}
