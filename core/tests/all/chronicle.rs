//! What a report tells of single payments: which are broken, what their attempts met, and the ledger that is read once more for it.

use std::collections::{BTreeMap, BTreeSet};

use paylab_core::{
    chronicle::fate::AttemptFate,
    judge::{anomaly::Anomaly, broken_payments},
    payment::PaymentId,
    witness::{ledger::LedgerTally, record::RecordTally},
};
use paylab_testbed::evidence::{Evidence, lesson, total_lesson};
use serde_json::json;

fn ledger_of(evidence: &Evidence) -> LedgerTally {
    let mut tally = LedgerTally::new(&evidence.plan, &evidence.run, 0..evidence.plan.count, evidence.baseline);
    evidence.ledger().iter().for_each(|line| tally.take(line));
    tally
}

fn record_of(evidence: &Evidence, change: fn(RecordTally) -> RecordTally) -> RecordTally {
    let mut tally = change(RecordTally::new(&evidence.plan, &evidence.run, 0..evidence.plan.count));
    evidence.record().iter().for_each(|line| tally.take(line));
    tally
}

#[test]
fn the_first_broken_payments_are_named_and_the_others_counted() {
    let evidence = Evidence::of(lesson(&json!({})));
    let mut entries = BTreeMap::new();
    for entry in &evidence.entries {
        let payment = evidence.run.payment_of(entry.reference.as_deref().unwrap()).unwrap();
        *entries.entry(payment.0).or_insert(0) += 1;
    }
    let doubled: Vec<u64> =
        entries.into_iter().filter(|(_, entries)| *entries > 1).map(|(payment, _)| payment).collect();
    let (record, ledger) = (record_of(&evidence, |tally| tally), ledger_of(&evidence));
    assert_eq!(doubled.len(), 329, "the lesson's own number");
    for most in [0, 1, 7, 329, 500] {
        let (named, others) = broken_payments(&evidence.plan, &evidence.history, &record, &ledger, most);
        let first: Vec<u64> = doubled.iter().copied().take(most).collect();
        assert_eq!(named.keys().copied().collect::<Vec<_>>(), first);
        assert!(named.values().all(|anomalies| anomalies.contains(&Anomaly::Duplicated)), "{named:?}");
        assert_eq!(others, (329 - first.len()) as u64);
    }
}

#[test]
fn a_ledger_that_was_not_read_whole_or_shows_only_a_total_breaks_no_single_payment() {
    let evidence = Evidence::of(lesson(&json!({})));
    let record = record_of(&evidence, |tally| tally);
    let (whole, cut) = (ledger_of(&evidence), {
        let mut tally = whole_but_for_the_footer(&evidence);
        tally.take(b"{\"entry\"");
        tally
    });
    assert!(whole.shows_payments());
    assert!(!cut.shows_payments());
    let broken = broken_payments(&evidence.plan, &evidence.history, &record, &cut, 500);
    assert_eq!(broken, (BTreeMap::new(), 0));

    let total = Evidence::of(total_lesson(&json!({})));
    let ledger = ledger_of(&total);
    assert!(ledger.stream.is_whole());
    assert!(!ledger.shows_payments());
}

fn whole_but_for_the_footer(evidence: &Evidence) -> LedgerTally {
    let mut tally = LedgerTally::new(&evidence.plan, &evidence.run, 0..evidence.plan.count, evidence.baseline);
    let lines = evidence.ledger();
    lines[..lines.len() - 1].iter().for_each(|line| tally.take(line));
    tally
}

#[test]
fn the_fates_of_a_payments_attempts_are_noted_where_they_are_asked_for() {
    let evidence = Evidence::of(lesson(&json!({})));
    let (plain, noting) = (record_of(&evidence, |tally| tally), record_of(&evidence, RecordTally::noting_fates));
    let mut met: BTreeMap<u64, BTreeSet<AttemptFate>> = BTreeMap::new();
    let mut totals: BTreeMap<AttemptFate, u64> = BTreeMap::new();
    for request in &evidence.requests {
        let fate = AttemptFate::of(request);
        met.entry(request.payment).or_default().insert(fate);
        *totals.entry(fate).or_default() += 1;
    }
    assert!(totals.len() > 2, "the lesson's attempts meet several fates: {totals:?}");
    assert_eq!(noting.fate_totals, totals);
    assert!(plain.fate_totals.is_empty());
    for (payment, fates) in met {
        let noted = noting.fates(PaymentId(payment)).unwrap();
        assert_eq!(noted.iter().collect::<BTreeSet<_>>(), fates, "payment {payment}");
        assert_eq!(plain.fates(PaymentId(payment)), None);
    }
    assert_eq!(noting.run_id(), &evidence.run);
}

#[test]
fn a_ledger_that_is_read_again_is_compared_with_the_same_and_begins_at_nothing() {
    let evidence = Evidence::of(lesson(&json!({})));
    let first = ledger_of(&evidence);
    let mut again = first.begun_again();
    assert_eq!((again.entries, again.booked_payments(), again.stream.is_whole()), (0, 0, false));
    evidence.ledger().iter().for_each(|line| again.take(line));
    assert!(again.stream.is_whole());
    assert_eq!((again.entries, again.booked, again.phantoms), (first.entries, first.booked, 0));
    assert_eq!((again.baseline(), again.as_baseline()), (first.baseline(), first.as_baseline()));
    for payment in (0..evidence.plan.count).map(PaymentId) {
        assert_eq!(again.row(payment), first.row(payment));
    }
}
