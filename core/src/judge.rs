//! The judge: compares the client's history, the proxy's record and the service's ledger, payment by payment. It counts
//! anomalies and doubts; [`crate::outcome`] draws the conclusion.

pub mod anomaly;
pub mod doubt;
pub mod evidence;
pub mod report;

use std::collections::BTreeMap;

use crate::{
    exposures::Exposures,
    judge::{
        anomaly::{Anomaly, Basis, Example},
        report::{LedgerSum, LedgerTotals, PaymentTotals, ProxyTotals, RecordTotals, Report},
    },
    payment::PaymentId,
    plan::Plan,
    witness::{
        attempt::{Belief, Ending},
        history::{History, PaymentHistory},
        ledger::{LedgerRow, LedgerTally},
        record::{RecordFooter, RecordRow, RecordTally},
    },
};

/// What the witnesses say about one payment; `None`: the witness is in doubt.
#[derive(Debug, Clone, Copy)]
struct Witnesses<'a> {
    payment: PaymentId,
    client: &'a PaymentHistory,
    proxy: Option<RecordRow>,
    ledger: Option<LedgerRow>,
    /// Whether the client's acknowledgements have called it by one name.
    is_stable: bool,
    /// Whether an entry is not what was asked for, or the acknowledged amount is not there.
    is_mismatched: bool,
}

/// Adds up the three witnesses of one share. Pure, and the same for the same evidence.
#[must_use]
pub fn judge(plan: &Plan, history: &History, record: &RecordTally, ledger: &LedgerTally) -> Report {
    let mut report = Report {
        run_id: record.run_id().to_string(),
        seed: plan.seed(),
        attempts: history.attempts,
        answers: history.answers.clone(),
        record: record_totals(record),
        ledger: ledger_totals(ledger),
        total: ledger_sum(plan, history, ledger),
        ..Report::default()
    };
    let ledger_is_read = report.ledger.is_some() || report.total.is_some();
    report.exposures = report.record.as_ref().filter(|_| ledger_is_read).map(|_| Exposures::default());
    for witnesses in witnesses(plan, history, record, ledger) {
        witnesses.count(plan, &mut report);
        for anomaly in Anomaly::ALL.into_iter().filter(|anomaly| witnesses.show(*anomaly)) {
            report.anomalies.entry(anomaly).or_default().add(witnesses.example());
        }
    }
    evidence::doubt_share(history, record, ledger, &mut report);
    report
}

/// The first payments that have an anomaly, in ascending order, each with all of its anomalies, and how many more there are.
#[must_use]
pub fn broken_payments(
    plan: &Plan,
    history: &History,
    record: &RecordTally,
    ledger: &LedgerTally,
    most: usize,
) -> (BTreeMap<u64, Vec<Anomaly>>, u64) {
    let (mut broken, mut others) = (BTreeMap::new(), 0);
    for witnesses in witnesses(plan, history, record, ledger) {
        let shown: Vec<_> = Anomaly::ALL.into_iter().filter(|anomaly| witnesses.show(*anomaly)).collect();
        if shown.is_empty() {
            continue;
        }
        if broken.len() < most {
            broken.insert(witnesses.payment.0, shown);
        } else {
            others += 1;
        }
    }
    (broken, others)
}

/// What the witnesses say about each payment of a share.
fn witnesses<'a>(
    plan: &'a Plan,
    history: &'a History,
    record: &'a RecordTally,
    ledger: &'a LedgerTally,
) -> impl Iterator<Item = Witnesses<'a>> {
    let record_is_whole = record.stream.is_whole();
    let ledger_is_whole = ledger.shows_payments();
    history.rows().map(move |(payment, client)| Witnesses {
        payment,
        client,
        proxy: record_is_whole.then(|| record.row(payment)),
        ledger: ledger_is_whole.then(|| ledger.row(payment)),
        is_stable: !history.is_unstable(payment),
        is_mismatched: is_mismatched(plan, payment, client, ledger),
    })
}

impl Witnesses<'_> {
    fn entries(&self) -> u64 {
        self.ledger.map_or(0, |row| u64::from(row.entries()))
    }

    fn example(&self) -> Example {
        Example { payment: self.payment.0, attempts: u64::from(self.client.attempts), entries: self.entries() }
    }

    fn count(&self, plan: &Plan, report: &mut Report) {
        let acknowledged = self.client.belief == Belief::Acknowledged;
        let PaymentTotals { intended, acknowledged: all_acknowledged, unknown } = &mut report.payments;
        *intended += 1;
        *all_acknowledged += u64::from(acknowledged);
        *unknown += u64::from(self.client.belief == Belief::Unknown);
        let entries = self.entries();
        if let Some(totals) = &mut report.ledger {
            totals.booked += u64::from(entries > 0);
            totals.duplicated += u64::from(entries > 1);
            totals.booked_unknown += u64::from(entries > 0 && !acknowledged);
            let excess = i64::try_from(entries.saturating_sub(1)).unwrap_or(i64::MAX).saturating_mul(plan.amount.0);
            totals.excess_minor = totals.excess_minor.saturating_add(excess);
        }
        let Some(proxy) = self.proxy else { return };
        let forwarded = u64::from(proxy.forwarded);
        if let Some(totals) = &mut report.record {
            totals.recorded += u64::from(proxy.requests);
            totals.forwarded += forwarded;
        }
        if let Some(exposures) = &mut report.exposures
            && (entries > 0 || self.client.ending != Ending::Refused)
        {
            let attempts = u64::from(self.client.attempts);
            // A total does not say which payments were booked; the service has said it of those that it acknowledged.
            let entries = if report.total.is_some() { u64::from(acknowledged) } else { entries };
            *exposures = exposures.plus(Exposures::of_payment(attempts, forwarded, entries));
        }
    }

    /// Whether the payment has an anomaly that its witnesses can show.
    fn show(&self, anomaly: Anomaly) -> bool {
        let can_show = match anomaly.basis() {
            Basis::History => true,
            Basis::Ledger => self.ledger.is_some(),
            Basis::Record | Basis::OneSender => self.ledger.is_some() && self.whole_record().is_some(),
            // A total says nothing of one payment.
            Basis::Total | Basis::TotalOfOneSender => false,
        };
        can_show && self.has(anomaly)
    }

    /// The payment's record, if it has exactly the client's attempts and does not contradict itself.
    fn whole_record(&self) -> Option<RecordRow> {
        self.proxy.filter(|row| row.requests == self.client.attempts && !row.is_contradictory())
    }

    fn has(&self, anomaly: Anomaly) -> bool {
        let PaymentHistory { attempts: _, acknowledged_by: _, belief, ending } = *self.client;
        let entries = self.entries();
        let proxy = self.whole_record().unwrap_or_default();
        // The service has answered 2xx, so that nothing milder can be said about a payment without an entry. Where the client has read a
        // refusal of every attempt, a record that says otherwise proves nothing.
        let was_hidden = belief == Belief::Unknown && proxy.answered() > 0;
        let was_answered = belief == Belief::Acknowledged || was_hidden;
        match anomaly {
            Anomaly::AcknowledgedButLost => entries == 0 && belief == Belief::Acknowledged,
            Anomaly::AnsweredButLost => entries == 0 && was_hidden,
            Anomaly::RejectedButBooked => entries > 0 && belief == Belief::Rejected,
            Anomaly::Phantom => entries > 0 && belief == Belief::Untried,
            Anomaly::Mismatched => self.is_mismatched,
            Anomaly::SelfDuplicated => entries > u64::from(proxy.forwarded),
            Anomaly::Duplicated => entries > 1,
            Anomaly::UnstableReplay => !self.is_stable,
            Anomaly::RefusedRepeat => entries > 0 && belief == Belief::Unknown && ending == Ending::Refused,
            Anomaly::Stuck => ending == Ending::Stuck && !proxy.is_broken() && (entries > 0 || !was_answered),
            Anomaly::Lost => entries == 0 && ending == Ending::GaveUp && !proxy.is_broken() && !was_answered,
            Anomaly::Shortfall | Anomaly::Surplus => false,
            Anomaly::Refused => entries == 0 && ending == Ending::Refused && !was_answered,
        }
    }
}

fn is_mismatched(plan: &Plan, payment: PaymentId, client: &PaymentHistory, ledger: &LedgerTally) -> bool {
    let row = ledger.row(payment);
    let acknowledged = plan.amount_of(u32::from(client.acknowledged_by));
    let was_acknowledged = client.acknowledged_by > 0;
    row.is_foreign() || (row.entries() > 0 && was_acknowledged && !ledger.holds(payment, acknowledged))
}

/// What the record says beside its rows; `None`: it is not whole.
fn record_totals(record: &RecordTally) -> Option<RecordTotals> {
    let footer = record.stream.footer().filter(|_| record.stream.is_whole())?;
    let RecordFooter {
        seal: _,
        run_id: _,
        requests: _,
        connections,
        unattributed,
        unintended_resets,
        unrecorded,
        lapsed,
    } = *footer;
    let proxy = ProxyTotals { connections, unintended_resets, unattributed, unrecorded, lapsed };
    Some(RecordTotals { recorded: 0, forwarded: 0, faults: record.faults.clone(), proxy })
}

/// What a ledger that shows a total and no entry says; `None`: it was not read, or it shows its entries.
fn ledger_sum(plan: &Plan, history: &History, ledger: &LedgerTally) -> Option<LedgerSum> {
    let footer = ledger.stream.footer().filter(|_| plan.target.shows_total_only() && ledger.stream.is_whole())?;
    let is_due = |client: &PaymentHistory| client.ending != Ending::Refused || client.belief == Belief::Acknowledged;
    let due = history.rows().filter(|(_, client)| is_due(client));
    // What was acknowledged is due, and where nothing was, what the first attempt asked for.
    let amounts = due.map(|(_, client)| plan.amount_of(u32::from(client.acknowledged_by.max(1))).0);
    Some(LedgerSum {
        before_minor: ledger.baseline().total_minor,
        after_minor: footer.total_minor,
        due_minor: amounts.fold(0, i64::saturating_add),
        refused: history.rows().filter(|(_, client)| !is_due(client)).count() as u64,
    })
}

/// What the ledger says beside its rows; `None`: it is not whole, or it shows a total and no row.
fn ledger_totals(ledger: &LedgerTally) -> Option<LedgerTotals> {
    let footer = ledger.stream.footer().filter(|_| ledger.shows_payments())?;
    Some(LedgerTotals {
        entries: ledger.entries,
        booked_minor: ledger.booked.0,
        phantoms: ledger.phantoms,
        phantoms_minor: ledger.phantoms_booked.0,
        phantom_references: ledger.phantom_references.clone(),
        service_requests: footer.counters.requests,
        service_requests_before: ledger.baseline().requests,
        ..LedgerTotals::default()
    })
}
