//! The judge, with correct evidence and with falsified evidence.

use serde_json::json;

use paylab_core::{
    claim::Verdict,
    fault::point::Point,
    judge::{anomaly::Anomaly, doubt::Doubt},
    outcome::Outcome,
    payment::PaymentId,
    prediction,
    witness::{
        attempt::{Acknowledgement, AttemptOutcome, Rejection},
        history::{History, Stop},
        seal::Flaw,
    },
};
use paylab_testbed::evidence::{Evidence, lesson, safe_lesson};

/// The verdict and its reason after the evidence of the safe lesson was changed.
fn after(change: impl FnOnce(&mut Evidence)) -> (Verdict, String) {
    let mut evidence = Evidence::of(safe_lesson());
    change(&mut evidence);
    let Outcome { verdict, reason, .. } = evidence.conclude();
    (verdict, reason.to_string())
}

fn violated(class: Anomaly) -> (Verdict, String) {
    (Verdict::Violated, format!("{class:?}"))
}

fn inconclusive(doubt: Doubt) -> (Verdict, String) {
    (Verdict::Inconclusive, format!("{doubt:?}"))
}

#[test]
fn with_correct_evidence_the_safe_path_is_upheld_and_the_path_without_dedup_is_violated() {
    let safe = Evidence::of(safe_lesson()).conclude();
    assert_eq!((safe.verdict, safe.exposures, safe.broken.len()), (Verdict::Upheld, 455, 0));
    let without_dedup = Evidence::of(lesson(&json!({}))).conclude();
    let duplicated = without_dedup.report.count(Anomaly::Duplicated);
    assert_eq!((without_dedup.verdict, duplicated), (Verdict::Violated, 329));
    assert_eq!((without_dedup.findings.len(), without_dedup.report.doubts.len()), (0, 0));
}

#[test]
fn a_dropped_entry_of_an_acknowledged_payment_is_a_violation() {
    assert_eq!(after(|evidence| drop(evidence.entries.remove(500))), violated(Anomaly::AcknowledgedButLost));
}

#[test]
fn an_answer_without_an_entry_is_a_violation_even_if_the_client_did_not_receive_it() {
    let once = json!({"claim": "AtMostOnce", "client": {"retry": {"maxAttempts": 1}}});
    let mut evidence = Evidence::of(lesson(&once));
    let hidden = evidence.requests.iter().find(|request| request.at == Some(Point::BeforeResponse)).unwrap().payment;
    let reference = evidence.run.reference(PaymentId(hidden));
    assert_eq!(evidence.conclude().verdict, Verdict::Upheld);
    evidence.entries.retain(|entry| entry.reference.as_deref() != Some(&reference));
    assert_eq!(evidence.conclude().reason.to_string(), "AnsweredButLost");
}

#[test]
fn a_doubled_entry_is_a_violation() {
    let double = |evidence: &mut Evidence| {
        let entry = evidence.entry(7, 100);
        evidence.entries.push(entry);
    };
    // Payment 7 reached the service once, so the service alone can have done it.
    assert_eq!(after(double), violated(Anomaly::SelfDuplicated));
}

#[test]
fn a_forged_entry_is_a_violation() {
    for reference in [Some("run-2.5"), Some("run-1.1000"), Some("run-1"), None] {
        let forge = |evidence: &mut Evidence| {
            let entry = evidence.entry(0, 100);
            evidence
                .entries
                .push(paylab_core::witness::ledger::Entry { reference: reference.map(str::to_owned), ..entry });
        };
        assert_eq!(after(forge), violated(Anomaly::Phantom), "{reference:?}");
    }
}

#[test]
fn a_changed_entry_is_a_violation() {
    assert_eq!(after(|evidence| evidence.entries[3].amount_minor = 101), violated(Anomaly::Mismatched));
    assert_eq!(after(|evidence| evidence.entries[3].dest = "mallory".to_owned()), violated(Anomaly::Mismatched));
}

#[test]
fn an_entry_of_a_refused_payment_is_a_violation() {
    let refuse = |evidence: &mut Evidence| {
        let mut history = History::new(0..1000);
        for (payment, row) in evidence.history.rows() {
            let outcome = if payment.0 == 0 {
                AttemptOutcome::Rejected(Rejection::Refused)
            } else {
                AttemptOutcome::Acknowledged(Acknowledgement::New)
            };
            (1..=u32::from(row.attempts)).for_each(|attempt| history.note(payment, attempt, outcome));
        }
        evidence.history = history;
    };
    assert_eq!(after(refuse), violated(Anomaly::RejectedButBooked));
}

#[test]
fn silent_drift_of_the_amount_is_a_mismatch() {
    let client = json!({"idempotencyKey": "PerPayment", "bodyDrift": "Amount"});
    let plan = lesson(&json!({"client": client, "service": {"dedup": "UniqueKey"}}));
    let outcome = Evidence::of(plan).conclude();
    assert_eq!((outcome.reason.to_string().as_str(), outcome.report.count(Anomaly::Mismatched)), ("Mismatched", 329));
}

#[test]
fn an_undelivered_payment_is_a_violation_with_unlimited_retries() {
    let refusing = json!({"service": {"dedup": "UniqueKey", "missingKey": "Refuse"}});
    let outcome = Evidence::of(lesson(&refusing)).conclude();
    assert_eq!(
        (outcome.reason.to_string().as_str(), outcome.report.count(Anomaly::Undelivered)),
        ("Undelivered", 1000)
    );
}

#[test]
fn a_record_without_a_request_or_with_other_coins_is_a_doubt() {
    assert_eq!(after(|evidence| drop(evidence.requests.pop())), inconclusive(Doubt::AttemptsDiffer));
    assert_eq!(after(|evidence| evidence.requests[9].coins[0].0 ^= 1), inconclusive(Doubt::CoinsDiffer));
    let not_reset = |evidence: &mut Evidence| {
        let faulted = evidence.requests.iter_mut().find(|request| request.fault.is_some()).unwrap();
        faulted.rst_client_ok = Some(false);
    };
    assert_eq!(after(not_reset), inconclusive(Doubt::FaultsFailed));
    assert_eq!(after(|evidence| evidence.record_footer.lapsed = 1), inconclusive(Doubt::Lapsed));
    assert_eq!(after(|evidence| evidence.record_footer.unrecorded = 1), inconclusive(Doubt::Unrecorded));
    assert_eq!(after(|evidence| evidence.record_footer.unintended_resets = 1), inconclusive(Doubt::UnintendedResets));
    assert_eq!(after(|evidence| evidence.record_footer.unattributed = 1), inconclusive(Doubt::Strangers));
    assert_eq!(after(|evidence| evidence.record_footer.connections += 1), inconclusive(Doubt::ConnectionsDiffer));
    assert_eq!(after(|evidence| evidence.service_requests -= 1), inconclusive(Doubt::RequestsDiffer));
}

#[test]
fn a_load_that_stops_early_is_a_doubt() {
    assert_eq!(after(|evidence| evidence.history.stopped = Some(Stop::Deadline)), inconclusive(Doubt::LoadStopped));
    let mut half = Evidence::of(safe_lesson());
    let tail = half.history.share().end;
    half.history = History::new(0..tail);
    half.requests.clear();
    half.entries.clear();
    half.service_requests = 0;
    half.record_footer.connections = 0;
    assert_eq!(half.conclude().reason.to_string(), "LoadIncomplete");
    assert_eq!(after(|evidence| evidence.history.attempts.no_port = 0), (Verdict::Upheld, "ClaimHeld".to_owned()));
    let short = |evidence: &mut Evidence| {
        evidence.history.attempts.count(AttemptOutcome::Rejected(Rejection::NoPort));
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
            let outcome = evidence.conclude_from(&record, &ledger);
            assert_eq!(outcome.verdict, Verdict::Inconclusive, "{doubt:?}");
            assert_eq!(outcome.report.doubts[&doubt].detail.as_deref(), Some(flaw.text()));
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
            prediction::walk(&part.plan, payment, |attempt| {
                history.note(payment, attempt.id.attempt, attempt.outcome);
            });
        }
        part.judge_share(&history, &part.record(), &ledger)
    });
    let [first, second] = shares;
    assert_eq!(first.clone().merge(second.clone()), whole);
    assert_eq!(second.merge(first), whole);
}

#[test]
fn a_delay_that_was_not_held_for_its_whole_time_is_a_doubt() {
    let slow = json!({
        "claim": "AtMostOnce",
        "minExposures": 0,
        "faults": [{"name": "slow", "probability": 0.3, "delay": {"at": "BeforeResponse", "for": "100ms"}}],
    });
    let mut evidence = Evidence::of(lesson(&slow));
    assert_eq!(evidence.conclude().verdict, Verdict::Upheld);
    let held = evidence.requests.iter_mut().find_map(|request| request.held_us.as_mut()).unwrap();
    *held -= 1;
    let outcome = evidence.conclude();
    assert_eq!((outcome.verdict, outcome.reason.to_string().as_str()), (Verdict::Inconclusive, "FaultsFailed"));
}
