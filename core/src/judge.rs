//! The judge: compares the client's history, the proxy's record and the service's ledger, payment by payment. It counts
//! anomalies and doubts; [`crate::outcome`] draws the conclusion.

pub mod anomaly;
pub mod doubt;
pub mod report;

use crate::{
    judge::{
        anomaly::{Anomaly, Example},
        doubt::{Doubt, DoubtNote},
        report::Report,
    },
    payment::PaymentId,
    plan::Plan,
    witness::{
        attempt::Belief,
        history::{History, PaymentHistory},
        ledger::{LedgerRow, LedgerTally},
        record::{Mismatches, RecordFooter, RecordRow, RecordTally},
    },
};

/// What the three witnesses say about one payment.
#[derive(Debug, Clone, Copy)]
struct Witnesses<'a> {
    payment: PaymentId,
    client: &'a PaymentHistory,
    proxy: RecordRow,
    ledger: LedgerRow,
}

/// Adds up the three witnesses of one share. Pure, and the same for the same evidence.
#[must_use]
pub fn judge(plan: &Plan, history: &History, record: &RecordTally, ledger: &LedgerTally) -> Report {
    let mut report = Report {
        run_id: record.run_id().to_string(),
        seed: plan.seed(),
        attempts: history.attempts,
        entries: ledger.entries,
        booked_minor: ledger.booked.0,
        phantom_references: ledger.phantom_references.clone(),
        faults: record.faults.clone(),
        ..Report::default()
    };
    // Without a whole ledger, no payment is called lost or booked.
    let whole = ledger.stream.flaw().is_none();
    for (payment, client) in history.rows() {
        let proxy = record.row(payment);
        let witnesses = Witnesses { payment, client, proxy, ledger: ledger.row(payment) };
        witnesses.count(plan, &mut report);
        if whole {
            witnesses.classify(plan, history, ledger, &mut report);
        }
    }
    if ledger.phantoms > 0 && whole {
        report.anomalies.entry(Anomaly::Phantom).or_default().count += ledger.phantoms;
    }
    doubt_load(plan, history, &mut report);
    doubt_record(record, &mut report);
    doubt_ledger(ledger, &mut report);
    report
}

impl Witnesses<'_> {
    fn count(&self, plan: &Plan, report: &mut Report) {
        let acknowledged = self.client.belief == Belief::Acknowledged;
        let booked = self.ledger.entries() > 0;
        let forwarded = u64::from(self.proxy.forwarded);
        let totals = &mut report.payments;
        totals.intended += 1;
        totals.acknowledged += u64::from(acknowledged);
        totals.unknown += u64::from(self.client.belief == Belief::Unknown);
        totals.booked += u64::from(booked);
        totals.booked_unknown += u64::from(booked && !acknowledged);
        report.lab.recorded += u64::from(self.proxy.requests);
        report.lab.forwarded += forwarded;
        report.lab.repeats_forwarded += forwarded.saturating_sub(1);
        let excess = i64::from(self.ledger.entries().saturating_sub(1));
        report.lab.excess_minor += excess.saturating_mul(plan.amount.0);
        if self.proxy.requests != self.client.attempts {
            let off = self.proxy.requests.abs_diff(self.client.attempts);
            report.doubt(Doubt::AttemptsDiffer, note(u64::from(off), Some(self.payment.0)));
        }
    }

    /// Adds the payment to the examples of every anomaly that it has.
    fn classify(&self, plan: &Plan, history: &History, ledger: &LedgerTally, report: &mut Report) {
        let entries = self.ledger.entries();
        let mut put = |anomaly: Anomaly| {
            let (attempts, entries) = (u64::from(self.client.attempts), u64::from(entries));
            let example = Example { payment: self.payment.0, attempts, entries };
            report.anomalies.entry(anomaly).or_default().add(example);
        };
        // Without a whole record of this payment, the number of requests that arrived is not known.
        let recorded = self.proxy.requests == self.client.attempts;
        if entries == 0 {
            put(self.missing(plan, history, recorded));
        }
        if entries > 0 && self.client.belief == Belief::Rejected {
            put(Anomaly::RejectedButBooked);
        }
        if entries > 0 && self.client.belief == Belief::Untried && recorded {
            put(Anomaly::Phantom);
        }
        if self.is_mismatched(plan, ledger) {
            put(Anomaly::Mismatched);
        }
        if entries > self.proxy.forwarded && recorded {
            put(Anomaly::SelfDuplicated);
        }
        if entries > 1 {
            put(Anomaly::Duplicated);
        }
    }

    /// The anomaly of a payment without an entry.
    fn missing(&self, plan: &Plan, history: &History, recorded: bool) -> Anomaly {
        match self.client.belief {
            Belief::Acknowledged => Anomaly::AcknowledgedButLost,
            Belief::Untried | Belief::Rejected | Belief::Unknown if recorded && self.proxy.answered > 0 => {
                Anomaly::AnsweredButLost
            }
            Belief::Rejected | Belief::Unknown if plan.client.max_attempts.is_none() && history.stopped.is_none() => {
                Anomaly::Undelivered
            }
            Belief::Untried | Belief::Rejected | Belief::Unknown => Anomaly::Lost,
        }
    }

    fn is_mismatched(&self, plan: &Plan, ledger: &LedgerTally) -> bool {
        let acknowledged = plan.amount_of(u32::from(self.client.acknowledged_by));
        let was_acknowledged = self.client.acknowledged_by > 0;
        self.ledger.is_foreign()
            || (self.ledger.entries() > 0 && was_acknowledged && !ledger.holds(self.payment, acknowledged))
    }
}

fn doubt_load(plan: &Plan, history: &History, report: &mut Report) {
    if let Some(stop) = history.stopped {
        report.doubt(Doubt::LoadStopped, DoubtNote { count: 1, first: None, detail: Some(stop.text().to_owned()) });
    }
    if history.attempts.no_port > 0 {
        report.doubt(Doubt::PortShortage, note(history.attempts.no_port, None));
    }
    let unlimited = plan.client.max_attempts.is_none();
    let gave_up = |belief| match belief {
        Belief::Untried => true,
        // The only answer that ends unlimited retries without an acknowledgement is a refusal.
        Belief::Unknown => unlimited && history.attempts.refused() == 0,
        Belief::Acknowledged | Belief::Rejected => false,
    };
    let mut unended = history.rows().filter(|(_, row)| gave_up(row.belief)).map(|(payment, _)| payment.0);
    if let Some(first) = unended.next() {
        report.doubt(Doubt::LoadIncomplete, note(1 + unended.count() as u64, Some(first)));
    }
}

fn doubt_record(record: &RecordTally, report: &mut Report) {
    if let Some(flaw) = record.stream.flaw() {
        report.doubt(Doubt::RecordFlawed, DoubtNote { count: 1, first: None, detail: Some(flaw.text().to_owned()) });
    }
    for (doubt, Mismatches { count, first }) in
        [(Doubt::CoinsDiffer, record.misjudged), (Doubt::FaultsFailed, record.undelivered)]
    {
        if count > 0 {
            report.doubt(doubt, note(count, first));
        }
    }
    let Some(footer) = record.stream.footer() else { return };
    let RecordFooter {
        seal: _,
        run_id: _,
        requests: _,
        connections,
        unattributed,
        unintended_resets,
        unrecorded,
        lapsed,
    } = footer;
    report.lab.connections = *connections;
    report.lab.unattributed = *unattributed;
    report.lab.unintended_resets = *unintended_resets;
    report.lab.unrecorded = *unrecorded;
    report.lab.lapsed = *lapsed;
}

fn doubt_ledger(ledger: &LedgerTally, report: &mut Report) {
    if let Some(flaw) = ledger.stream.flaw() {
        report.doubt(Doubt::LedgerFlawed, DoubtNote { count: 1, first: None, detail: Some(flaw.text().to_owned()) });
    }
    if let Some(footer) = ledger.stream.footer() {
        report.lab.service_requests = footer.counters.requests;
    }
}

const fn note(count: u64, first: Option<u64>) -> DoubtNote {
    DoubtNote { count, first, detail: None }
}
