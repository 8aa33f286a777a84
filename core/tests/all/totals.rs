//! What the judge counts in correct evidence is what was predicted.

use paylab_core::{judge::report::Report, outcome::Outcome};
use paylab_testbed::evidence::{Evidence, lesson};
use serde_json::{Value, json};

/// Judges the correct evidence of the lesson with these changes, and compares every total with its prediction.
fn check(changes: &Value) -> Report {
    let evidence = Evidence::of(lesson(changes));
    let Outcome { report, .. } = evidence.conclude();
    let predicted = report.prediction.clone().unwrap();
    let (record, ledger) = (report.record.clone().unwrap(), report.ledger.clone().unwrap());
    assert_eq!((report.run_id.as_str(), report.seed), (evidence.run.as_str(), 42));
    assert_eq!(report.attempts.total, predicted.attempts, "{changes}");
    assert_eq!((record.recorded, record.forwarded), (predicted.attempts, predicted.forwarded), "{changes}");
    assert_eq!(record.proxy.connections, predicted.attempts, "{changes}");
    assert_eq!((record.faults, report.exposures), (predicted.faults, Some(predicted.exposures)), "{changes}");
    let counted = [ledger.entries, ledger.booked, ledger.duplicated, ledger.booked_unknown, ledger.phantoms];
    let expected = [predicted.entries, predicted.booked, predicted.duplicated, predicted.booked_unknown, 0];
    assert_eq!(counted, expected, "{changes}");
    let excess_minor = i64::try_from(predicted.entries - predicted.booked).unwrap() * 100;
    assert_eq!((ledger.booked_minor, ledger.excess_minor), (predicted.booked_total.0, excess_minor), "{changes}");
    assert_eq!(ledger.service_requests, predicted.forwarded, "{changes}");
    let told = (report.entries(), report.booked_minor(), report.lost());
    assert_eq!(told, (Some(predicted.entries), Some(predicted.booked_total.0), Some(predicted.lost)), "{changes}");
    assert_eq!((report.payments.intended, report.payments.acknowledged), (1000, predicted.acknowledged), "{changes}");
    report
}

#[test]
fn the_totals_of_correct_evidence_are_those_of_the_prediction() {
    let with_key = |attempts: u64| json!({"idempotencyKey": "PerPayment", "retry": {"maxAttempts": attempts}});
    for changes in [
        json!({}),
        json!({"client": {"retry": {"maxAttempts": 1}}}),
        json!({"client": {"retry": {"maxAttempts": 2}, "recovery": {"attempts": 1}}}),
        json!({"client": with_key(3), "service": {"dedup": "UniqueKey"}}),
        json!({"client": with_key(2), "service": {"dedup": "Replay"}}),
    ] {
        let payments = check(&changes).payments;
        assert_eq!(payments.unknown, payments.intended - payments.acknowledged, "{changes}");
    }
    // No request has the key that the service wants, and no response is lost, so the client knows that every payment was refused.
    let refused = check(&json!({"service": {"dedup": "UniqueKey", "missingKey": "Refuse"}, "faults": []}));
    assert_eq!((refused.payments.acknowledged, refused.payments.unknown), (0, 0));
}

#[test]
fn the_answers_that_the_client_has_counted_are_in_the_report() {
    let mut evidence = Evidence::of(lesson(&json!({})));
    evidence.history.answers.count_status(200);
    evidence.history.answers.count_status(503);
    assert_eq!(evidence.conclude().report.answers, evidence.history.answers);
}
