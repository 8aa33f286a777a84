//! The judge: holds the client's history, the proxy's record and the service's ledger against one another, payment by
//! payment. It counts what broke and what it cannot trust; the conclusion is in [`crate::verdict`].

use crate::{
    history::{Belief, History, PaymentHistory},
    ledger::{LedgerRow, LedgerTally},
    payment::PaymentId,
    plan::Plan,
    record::{Misfits, RecordFooter, RecordRow, RecordTally},
    report::{Case, Class, Doubt, Note, Report},
};

/// One payment in the eyes of the three witnesses.
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
    // What the ledger does not say proves nothing: without a whole ledger no payment is called lost or booked.
    let whole = ledger.testimony.flaw().is_none();
    for (payment, client) in history.rows() {
        let proxy = record.row(payment);
        let witnesses = Witnesses { payment, client, proxy, ledger: ledger.row(payment) };
        witnesses.count(plan, &mut report);
        if whole {
            witnesses.classify(plan, history, ledger, &mut report);
        }
    }
    if ledger.phantoms > 0 && whole {
        report.cases.entry(Class::Phantom).or_default().count += ledger.phantoms;
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

    /// Puts the payment into every class it belongs to.
    fn classify(&self, plan: &Plan, history: &History, ledger: &LedgerTally, report: &mut Report) {
        let entries = self.ledger.entries();
        let mut put = |class: Class| {
            let (attempts, entries) = (u64::from(self.client.attempts), u64::from(entries));
            let case = Case { payment: self.payment.0, attempts, entries };
            report.cases.entry(class).or_default().note(case);
        };
        // Without a whole record of this payment, the number of requests that arrived is not known.
        let recorded = self.proxy.requests == self.client.attempts;
        if entries == 0 {
            put(self.missing(plan, history, recorded));
        }
        if entries > 0 && self.client.belief == Belief::Rejected {
            put(Class::RejectedButBooked);
        }
        if entries > 0 && self.client.belief == Belief::Untried && recorded {
            put(Class::Phantom);
        }
        if self.is_mismatched(plan, ledger) {
            put(Class::Mismatched);
        }
        if entries > self.proxy.forwarded && recorded {
            put(Class::SelfDuplicated);
        }
        if entries > 1 {
            put(Class::Duplicated);
        }
    }

    /// The class of a payment without an entry.
    fn missing(&self, plan: &Plan, history: &History, recorded: bool) -> Class {
        match self.client.belief {
            Belief::Acknowledged => Class::AcknowledgedButLost,
            Belief::Untried | Belief::Rejected | Belief::Unknown if recorded && self.proxy.answered > 0 => {
                Class::AnsweredButLost
            }
            Belief::Rejected | Belief::Unknown if plan.client.max_attempts.is_none() && history.stopped.is_none() => {
                Class::Undelivered
            }
            Belief::Untried | Belief::Rejected | Belief::Unknown => Class::Lost,
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
        report.doubt(Doubt::LoadStopped, Note { count: 1, first: None, detail: Some(stop.text().to_owned()) });
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
    if let Some(flaw) = record.testimony.flaw() {
        report.doubt(Doubt::RecordFlawed, Note { count: 1, first: None, detail: Some(flaw.text().to_owned()) });
    }
    for (doubt, Misfits { count, first }) in
        [(Doubt::CoinsDiffer, record.misjudged), (Doubt::FaultsFailed, record.undelivered)]
    {
        if count > 0 {
            report.doubt(doubt, note(count, first));
        }
    }
    let Some(footer) = record.testimony.footer() else { return };
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
    if let Some(flaw) = ledger.testimony.flaw() {
        report.doubt(Doubt::LedgerFlawed, Note { count: 1, first: None, detail: Some(flaw.text().to_owned()) });
    }
    if let Some(footer) = ledger.testimony.footer() {
        report.lab.service_requests = footer.counters.requests;
    }
}

const fn note(count: u64, first: Option<u64>) -> Note {
    Note { count, first, detail: None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        evidence::Flaw,
        history::{Answer, Outcome, Rejection, Stop},
        spec::Point,
        status::Verdict,
        stories::{Evidence, lesson, safe_lesson},
        verdict::Conclusion,
    };

    /// The verdict and its reason after the evidence of the safe lesson was bent.
    fn after(bend: impl FnOnce(&mut Evidence)) -> (Verdict, String) {
        let mut evidence = Evidence::of(safe_lesson());
        bend(&mut evidence);
        let (_, Conclusion { verdict, reason, .. }) = evidence.conclude();
        (verdict, reason)
    }

    fn violated(class: Class) -> (Verdict, String) {
        (Verdict::Violated, format!("{class:?}"))
    }

    fn inconclusive(doubt: Doubt) -> (Verdict, String) {
        (Verdict::Inconclusive, format!("{doubt:?}"))
    }

    #[test]
    fn honest_evidence_upholds_the_safe_path_and_convicts_the_blind_one() {
        let (_, safe) = Evidence::of(safe_lesson()).conclude();
        assert_eq!(
            safe.sentence,
            "UPHELD ExactlyOnce: 1000 of 1000 payments booked exactly once; 455 repeats exposed the claim (bug rate < 0.66 % per repeat, 95 %)."
        );
        let (report, blind) = Evidence::of(lesson(&json!({}))).conclude();
        assert_eq!(
            blind.sentence,
            "VIOLATED ExactlyOnce: 329 of 1000 payments were booked more than once (+455.00 EUR); none lost; first: payment 1."
        );
        assert_eq!((blind.findings.len(), report.doubts.len()), (0, 0));
    }

    #[test]
    fn a_service_that_drops_an_acknowledged_entry_is_convicted() {
        assert_eq!(after(|evidence| drop(evidence.entries.remove(500))), violated(Class::AcknowledgedButLost));
    }

    #[test]
    fn a_service_that_answers_and_does_not_book_is_convicted_though_the_client_never_saw_the_answer() {
        let once = json!({"claim": "AtMostOnce", "client": {"retry": {"maxAttempts": 1}}});
        let mut evidence = Evidence::of(lesson(&once));
        let hidden =
            evidence.requests.iter().find(|request| request.at == Some(Point::BeforeResponse)).unwrap().payment;
        let reference = evidence.run.reference(PaymentId(hidden));
        assert_eq!(evidence.conclude().1.verdict, Verdict::Upheld);
        evidence.entries.retain(|entry| entry.reference.as_deref() != Some(&reference));
        assert_eq!(evidence.conclude().1.reason, "AnsweredButLost");
    }

    #[test]
    fn a_service_that_doubles_an_entry_is_convicted() {
        let double = |evidence: &mut Evidence| {
            let entry = evidence.entry(7, 100);
            evidence.entries.push(entry);
        };
        // Payment 7 reached the service once, so the service alone can have done it.
        assert_eq!(after(double), violated(Class::SelfDuplicated));
    }

    #[test]
    fn a_service_that_forges_an_entry_is_convicted() {
        for reference in [Some("run-2.5"), Some("run-1.1000"), Some("run-1"), None] {
            let forge = |evidence: &mut Evidence| {
                let entry = evidence.entry(0, 100);
                evidence.entries.push(crate::ledger::Entry { reference: reference.map(str::to_owned), ..entry });
            };
            assert_eq!(after(forge), violated(Class::Phantom), "{reference:?}");
        }
    }

    #[test]
    fn a_service_that_changes_an_entry_is_convicted() {
        assert_eq!(after(|evidence| evidence.entries[3].amount_minor = 101), violated(Class::Mismatched));
        assert_eq!(after(|evidence| evidence.entries[3].dest = "mallory".to_owned()), violated(Class::Mismatched));
    }

    #[test]
    fn a_service_that_books_what_it_refused_is_convicted() {
        let lie = |evidence: &mut Evidence| {
            let mut history = History::new(0..1000);
            for (payment, row) in evidence.history.rows() {
                let outcome = if payment.0 == 0 {
                    Outcome::Rejected(Rejection::Refused)
                } else {
                    Outcome::Acknowledged(Answer::New)
                };
                (1..=u32::from(row.attempts)).for_each(|attempt| history.note(payment, attempt, outcome));
            }
            evidence.history = history;
        };
        assert_eq!(after(lie), violated(Class::RejectedButBooked));
    }

    #[test]
    fn silent_drift_of_the_amount_is_a_mismatch() {
        let client = json!({"idempotencyKey": "PerPayment", "bodyDrift": "Amount"});
        let plan = lesson(&json!({"client": client, "service": {"dedup": "UniqueKey"}}));
        let (report, conclusion) = Evidence::of(plan).conclude();
        assert_eq!((conclusion.reason.as_str(), report.count(Class::Mismatched)), ("Mismatched", 329));
    }

    #[test]
    fn a_payment_that_is_never_delivered_breaks_what_unlimited_retries_promise() {
        let lie = json!({"service": {"dedup": "UniqueKey", "missingKey": "Refuse"}});
        let (report, conclusion) = Evidence::of(lesson(&lie)).conclude();
        assert_eq!((conclusion.reason.as_str(), report.count(Class::Undelivered)), ("Undelivered", 1000));
    }

    #[test]
    fn a_proxy_that_forgets_a_request_or_tosses_other_coins_is_not_believed() {
        assert_eq!(after(|evidence| drop(evidence.requests.pop())), inconclusive(Doubt::AttemptsDiffer));
        assert_eq!(after(|evidence| evidence.requests[9].coins[0].0 ^= 1), inconclusive(Doubt::CoinsDiffer));
        let pardon = |evidence: &mut Evidence| {
            let faulted = evidence.requests.iter_mut().find(|request| request.fault.is_some()).unwrap();
            faulted.rst_client_ok = Some(false);
        };
        assert_eq!(after(pardon), inconclusive(Doubt::FaultsFailed));
        assert_eq!(after(|evidence| evidence.record_footer.lapsed = 1), inconclusive(Doubt::Lapsed));
        assert_eq!(after(|evidence| evidence.record_footer.unrecorded = 1), inconclusive(Doubt::Unrecorded));
        assert_eq!(
            after(|evidence| evidence.record_footer.unintended_resets = 1),
            inconclusive(Doubt::UnintendedResets)
        );
        assert_eq!(after(|evidence| evidence.record_footer.unattributed = 1), inconclusive(Doubt::Strangers));
        assert_eq!(after(|evidence| evidence.record_footer.connections += 1), inconclusive(Doubt::ConnectionsDiffer));
        assert_eq!(after(|evidence| evidence.service_requests -= 1), inconclusive(Doubt::RequestsDiffer));
    }

    #[test]
    fn a_load_that_stops_early_is_not_believed() {
        assert_eq!(after(|evidence| evidence.history.stopped = Some(Stop::Deadline)), inconclusive(Doubt::LoadStopped));
        let mut half = Evidence::of(safe_lesson());
        let tail = half.history.share().end;
        half.history = History::new(0..tail);
        half.requests.clear();
        half.entries.clear();
        half.service_requests = 0;
        half.record_footer.connections = 0;
        assert_eq!(half.conclude().1.reason, "LoadIncomplete");
        assert_eq!(after(|evidence| evidence.history.attempts.no_port = 0), (Verdict::Upheld, "ClaimHeld".to_owned()));
        let short = |evidence: &mut Evidence| {
            evidence.history.attempts.count(Outcome::Rejected(Rejection::NoPort));
        };
        assert_eq!(after(short), inconclusive(Doubt::PortShortage));
    }

    #[test]
    fn streams_without_their_footers_or_with_other_lines_prove_nothing() {
        let evidence = Evidence::of(safe_lesson());
        let (record, ledger) = (evidence.record(), evidence.ledger());
        let cut = |lines: &[Vec<u8>]| lines[..lines.len() - 1].to_vec();
        let missing_line = |lines: &[Vec<u8>]| lines[1..].to_vec();
        let doubled_line = |lines: &[Vec<u8>]| [&lines[..1], lines].concat();
        let longer = |lines: &[Vec<u8>]| [lines, &lines[..1]].concat();
        let garbled = |lines: &[Vec<u8>]| [&[b"?\n".to_vec()], lines].concat();
        type Bend<'a> = &'a dyn Fn(&[Vec<u8>]) -> Vec<Vec<u8>>;
        let bends: [(Bend<'_>, Flaw, Flaw); 5] = [
            (&cut, Flaw::NoFooter, Flaw::NoFooter),
            (&missing_line, Flaw::BrokenSeal, Flaw::WrongSum),
            (&doubled_line, Flaw::BrokenSeal, Flaw::Disordered),
            (&longer, Flaw::AfterFooter, Flaw::AfterFooter),
            (&garbled, Flaw::Unreadable, Flaw::Unreadable),
        ];
        for (bend, of_record, of_ledger) in bends {
            for (record, ledger, doubt, flaw) in [
                (bend(&record), ledger.clone(), Doubt::RecordFlawed, of_record),
                (record.clone(), bend(&ledger), Doubt::LedgerFlawed, of_ledger),
            ] {
                let (report, conclusion) = evidence.conclude_from(&record, &ledger);
                assert_eq!(conclusion.verdict, Verdict::Inconclusive, "{}", conclusion.sentence);
                assert_eq!(report.doubts[&doubt].detail.as_deref(), Some(flaw.text()));
            }
        }
    }

    #[test]
    fn shares_that_are_merged_come_to_the_same_as_the_whole() {
        let evidence = Evidence::of(lesson(&json!({})));
        let (record, ledger) = (evidence.record(), evidence.ledger());
        let whole = evidence.judge_share(&evidence.history, &record, &ledger);
        let shares = [0..300, 300..1000].map(|share| {
            let mut history = History::new(share.clone());
            let mut part = Evidence::of(lesson(&json!({})));
            part.requests.retain(|request| share.contains(&request.payment));
            for payment in share.map(PaymentId) {
                crate::predict::walk(&part.plan, payment, |step| history.note(payment, step.id.attempt, step.outcome));
            }
            part.judge_share(&history, &part.record(), &ledger)
        });
        let [first, second] = shares;
        assert_eq!(first.clone().merge(second.clone()), whole);
        assert_eq!(second.merge(first), whole);
    }
}
