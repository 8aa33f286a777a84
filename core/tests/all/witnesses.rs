//! What is added up from the lines of record and ledger, line by line, and from the reports of several workers.

use paylab_core::{
    fault::point::Point,
    judge::{
        anomaly::{Example, Examples},
        doubt::{Doubt, DoubtNote},
        report::{LedgerTotals, Report},
    },
    money::MinorUnits,
    payment::PaymentId,
    witness::{
        ledger::{Baseline, Elsewhere, Entry, LedgerFooter, LedgerItem, LedgerTally, ServiceCounters},
        record::{Coin, End, RecordLine, RecordTally},
    },
};
use paylab_testbed::evidence::{Evidence, lesson, safe_lesson};
use serde_json::json;

/// The ledger of some evidence, with another footer, added up.
fn ledger_of(evidence: &Evidence, change: impl FnOnce(&mut LedgerFooter)) -> LedgerTally {
    let mut lines = evidence.ledger();
    let LedgerItem::Footer(mut footer) = serde_json::from_slice(&lines.pop().unwrap()).unwrap() else { panic!() };
    change(&mut footer);
    let mut last = serde_json::to_vec(&LedgerItem::Footer(footer)).unwrap();
    last.push(b'\n');
    lines.push(last);
    let share = 0..evidence.plan.count;
    let mut tally = LedgerTally::new(&evidence.plan, &evidence.run, share, evidence.baseline);
    lines.iter().for_each(|line| tally.take(line));
    tally
}

fn record_of(evidence: &Evidence) -> RecordTally {
    let mut tally = RecordTally::new(&evidence.plan, &evidence.run, 0..evidence.plan.count);
    evidence.record().iter().for_each(|line| tally.take(line));
    tally
}

#[test]
fn what_a_ledger_holds_before_a_load_is_its_baseline() {
    let evidence = Evidence::of(safe_lesson());
    let tally = ledger_of(&evidence, |footer| {
        footer.elsewhere = Elsewhere { entries: 5, amount_minor: 500 };
        footer.total_minor += 500;
        footer.counters = ServiceCounters { requests: 1455, booked: 1005, ..ServiceCounters::default() };
    });
    assert_eq!(tally.stream.flaw_text(), None);
    let baseline = Baseline { last_id: Some(1000), entries: 1005, booked: 1005, requests: 1455, total_minor: 100_500 };
    assert_eq!(tally.as_baseline(), baseline);
}

#[test]
fn a_payment_is_booked_when_it_has_an_entry_and_holds_its_amount_then() {
    let mut evidence = Evidence::of(safe_lesson());
    evidence.entries.truncate(700);
    let tally = ledger_of(&evidence, |_| ());
    let booked = evidence.entries.iter().filter(|entry| entry.reference.is_some()).count();
    assert_eq!((tally.booked_payments(), booked), (700, 700));
    let holds =
        [(0, 100), (0, 101), (999, 100)].map(|(payment, minor)| tally.holds(PaymentId(payment), MinorUnits(minor)));
    assert_eq!(holds, [true, false, false]);
}

#[test]
fn a_service_that_is_busy_or_counts_otherwise_makes_a_ledger_flawed() {
    let evidence = Evidence::of(safe_lesson());
    let flaw = |change: fn(&mut LedgerFooter)| ledger_of(&evidence, change).stream.flaw_text().unwrap_or_default();
    assert_eq!(flaw(|_| ()), "");
    let busy = flaw(|footer| footer.counters.in_flight = 1);
    assert!(busy.contains("1 requests are in flight"), "{busy}");
    // Entries that were not sent are entries all the same.
    let elsewhere = |footer: &mut LedgerFooter| {
        footer.elsewhere = Elsewhere { entries: 7, amount_minor: 700 };
        footer.total_minor += 700;
    };
    let uncounted = ledger_of(&evidence, elsewhere).stream.flaw_text().unwrap();
    assert!(uncounted.contains("1007 new entries, 1000 counted"), "{uncounted}");
    let counted = ledger_of(&evidence, |footer| {
        elsewhere(footer);
        footer.counters.booked += 7;
    });
    assert_eq!(counted.stream.flaw_text(), None);
}

#[test]
fn only_what_came_after_the_baseline_is_a_phantom_and_three_are_named() {
    let mut evidence = Evidence::of(safe_lesson());
    evidence.entries.clear();
    for id in 1..=9 {
        let entry = evidence.entry(0, 100);
        evidence.entries.push(Entry { reference: Some(format!("other-{id}")), ..entry });
    }
    evidence.baseline = Baseline { last_id: Some(4), entries: 4, booked: 4, requests: 4, total_minor: 400 };
    let tally = ledger_of(&evidence, |_| ());
    assert_eq!((tally.phantoms, tally.phantoms_booked), (5, MinorUnits(500)));
    assert_eq!(tally.phantom_references, ["other-5", "other-6", "other-7"]);
}

#[test]
fn very_many_entries_or_answers_of_one_payment_are_counted_to_a_bound_and_say_nothing_else() {
    let mut evidence = Evidence::of(lesson(&json!({"faults": [], "payments": {"count": 1}})));
    let (entry, request) = (evidence.entries[0].clone(), evidence.requests[0].clone());
    evidence.entries = (1..=33_000).map(|id| Entry { id, ..entry.clone() }).collect();
    let number = |attempt: u32| RecordLine { attempt, seq: u64::from(attempt), ..request.clone() };
    evidence.requests = (1..=16_500).map(number).collect();
    let row = ledger_of(&evidence, |_| ()).row(PaymentId(0));
    assert_eq!((row.entries(), row.is_foreign()), (32_767, false));
    let row = record_of(&evidence).row(PaymentId(0));
    assert_eq!((row.requests, row.answered(), row.is_broken(), row.is_contradictory()), (16_500, 16_383, false, false));
}

#[test]
fn a_request_is_misjudged_for_its_coins_its_fate_or_what_it_says_of_its_arrival() {
    let evidence = Evidence::of(safe_lesson());
    let struck = evidence.requests.iter().position(|request| request.at == Some(Point::BeforeRequest)).unwrap();
    let passed = evidence.requests.iter().position(|request| request.at.is_none()).unwrap();
    let changed = |place: usize, change: fn(&mut RecordLine)| {
        let mut evidence = evidence.clone();
        change(&mut evidence.requests[place]);
        let (tally, payment) = (record_of(&evidence), evidence.requests[place].payment);
        (
            tally.misjudged.count,
            tally.misjudged.first == Some(payment),
            tally.row(PaymentId(payment)).is_contradictory(),
        )
    };
    assert_eq!(record_of(&evidence).misjudged.count, 0);
    assert_eq!(changed(passed, |request| request.coins[0] = Coin(request.coins[0].0 ^ 1)), (1, true, false));
    assert_eq!(changed(struck, |request| request.fault = Some("other".to_owned())), (1, true, false));
    assert_eq!(changed(struck, |request| request.at = Some(Point::MidRequest)), (1, true, false));
    // It was struck before the request, and yet it arrived.
    assert_eq!(changed(struck, |request| request.forwarded_whole = true), (1, true, true));
    // Nothing struck it, and it was answered with a 2xx, and yet it did not arrive.
    assert_eq!(changed(passed, |request| request.forwarded_whole = false), (1, true, true));
}

#[test]
fn payments_with_an_anomaly_are_counted_and_so_are_those_of_them_that_were_booked() {
    let mut examples = Examples::default();
    for (payment, entries) in [(3, 0), (5, 2), (7, 1)] {
        examples.add(Example { payment, attempts: 4, entries });
    }
    assert_eq!((examples.count, examples.booked, examples.first.len()), (3, 2, 3));
}

#[test]
fn a_connection_that_the_service_broke_is_one_doubt_whoever_has_counted_it() {
    let mut evidence = Evidence::of(safe_lesson());
    for request in &mut evidence.requests[..2] {
        request.end = End::ServiceGone;
    }
    for counted_by_proxy in [0, 1, 2] {
        evidence.record_footer.unintended_resets = counted_by_proxy;
        let doubts = evidence.conclude().report.doubts;
        let expected = if counted_by_proxy == 0 { 2 } else { counted_by_proxy };
        assert_eq!(doubts[&Doubt::UnintendedResets].count, expected, "{doubts:?}");
    }
}

#[test]
fn of_phantoms_that_every_worker_sees_the_latest_number_counts() {
    let seen = |phantoms: u64, minor: i64, name: &str| {
        let ledger = LedgerTotals {
            phantoms,
            phantoms_minor: minor,
            phantom_references: vec![name.to_owned()],
            ..LedgerTotals::default()
        };
        Report { ledger: Some(ledger), ..Report::default() }
    };
    for (first, second, expected) in [
        (seen(2, 200, "a"), seen(3, 300, "b"), seen(3, 300, "b")),
        (seen(3, 300, "a"), seen(2, 200, "b"), seen(3, 300, "a")),
        (seen(2, 200, "a"), seen(2, 200, "b"), seen(2, 200, "a")),
    ] {
        assert_eq!(first.merge(second), expected);
    }
}

#[test]
fn a_doubt_of_two_workers_is_counted_for_both_and_keeps_its_first_payment() {
    let doubted = |count: u64, first: u64| {
        let mut report = Report::default();
        report.doubt(Doubt::OtherSender, DoubtNote { count, first: Some(first), detail: None });
        report
    };
    let merged = doubted(2, 7).merge(doubted(3, 4));
    assert_eq!(merged.doubts[&Doubt::OtherSender], DoubtNote { count: 5, first: Some(4), detail: None });
}
