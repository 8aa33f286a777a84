//! What the judge counts where something is wrong: each anomaly once, under its one name, and only from witnesses that are whole.

use paylab_core::{
    claim::{Expectation, Observed, Verdict},
    client::ATTEMPTS_MAX,
    fault::point::Point,
    judge::{
        anomaly::Anomaly,
        doubt::{Doubt, DoubtNote},
    },
    outcome::{Outcome, Setting},
    payment::PaymentId,
    prediction,
    witness::{
        attempt::{AttemptOutcome, Ending, Rejection, Uncertainty},
        history::History,
        ledger::{Baseline, Entry},
    },
};
use paylab_testbed::evidence::{Evidence, lesson, safe_lesson};
use serde_json::{Value, json};

/// The safe lesson with at most three attempts, in which 29 payments are given up.
fn three_attempts() -> Evidence {
    let client = json!({"idempotencyKey": "PerPayment", "retry": {"maxAttempts": 3}});
    Evidence::of(lesson(&json!({"client": client, "service": {"dedup": "UniqueKey"}})))
}

fn without_last(lines: &[Vec<u8>]) -> &[Vec<u8>] {
    &lines[..lines.len() - 1]
}

#[test]
fn an_anomaly_is_drawn_only_from_witnesses_that_are_whole() {
    let evidence = three_attempts();
    let (record, ledger) = (evidence.record(), evidence.ledger());
    assert_eq!(evidence.conclude().report.count(Anomaly::Lost), 29);
    for (record, ledger) in [(without_last(&record), &ledger[..]), (&record[..], without_last(&ledger))] {
        let outcome = evidence.conclude_from(record, ledger);
        assert_eq!(outcome.verdict, Verdict::Inconclusive);
        assert!(
            outcome.report.anomalies.is_empty() && !outcome.can_show(Anomaly::Lost),
            "{:?}",
            outcome.report.anomalies
        );
    }
    assert!(evidence.conclude().can_show(Anomaly::Lost) && evidence.conclude().can_show(Anomaly::Duplicated));
}

#[test]
fn a_payment_whose_record_lacks_a_request_shows_nothing_that_rests_on_the_record() {
    let mut evidence = three_attempts();
    let lost = evidence.conclude().report.anomalies[&Anomaly::Lost].first[0].payment;
    let place = evidence.requests.iter().position(|request| request.payment == lost).unwrap();
    evidence.requests.remove(place);
    assert_eq!(evidence.conclude().report.count(Anomaly::Lost), 28);
}

#[test]
fn a_payment_without_an_entry_has_one_anomaly_and_no_milder_one() {
    let once = json!({"claim": "AtMostOnce", "client": {"retry": {"maxAttempts": 1}}});
    let mut evidence = Evidence::of(lesson(&once));
    let lost = evidence.conclude().report.count(Anomaly::Lost);
    let hidden = evidence.requests.iter().find(|request| request.at == Some(Point::BeforeResponse)).unwrap().payment;
    let reference = evidence.run.reference(PaymentId(hidden));
    evidence.entries.retain(|entry| entry.reference.as_deref() != Some(&reference));
    let report = evidence.conclude().report;
    assert_eq!((report.count(Anomaly::AnsweredButLost), report.count(Anomaly::Lost)), (1, lost));

    let mut evidence = Evidence::of(safe_lesson());
    evidence.entries.remove(500);
    let report = evidence.conclude().report;
    let counts =
        [Anomaly::AcknowledgedButLost, Anomaly::Mismatched, Anomaly::Lost].map(|anomaly| report.count(anomaly));
    assert_eq!(counts, [1, 0, 0]);
}

/// The safe lesson without faults, in which the first payment went otherwise.
fn first_payment(outcome: AttemptOutcome, ending: Ending) -> Evidence {
    let plan = json!({"client": {"idempotencyKey": "PerPayment"}, "service": {"dedup": "UniqueKey"}, "faults": []});
    let mut evidence = Evidence::of(lesson(&plan));
    let mut history = History::new(evidence.history.share());
    history.note(PaymentId(0), 1, outcome);
    history.end(PaymentId(0), ending);
    for payment in (1..evidence.plan.count).map(PaymentId) {
        prediction::walk(&evidence.plan, payment, |attempt| history.note(payment, attempt.id.attempt, attempt.outcome));
        history.end(payment, Ending::Acknowledged);
    }
    evidence.history = history;
    evidence
}

#[test]
fn a_refusal_of_every_attempt_is_no_chance_unless_the_payment_was_booked() {
    let refused = AttemptOutcome::Rejected(Rejection::Refused);
    let mut evidence = first_payment(refused, Ending::Refused);
    let booked = evidence.conclude().report;
    assert_eq!((booked.count(Anomaly::RejectedButBooked), booked.exposures.unwrap().arrived), (1, 1000));
    evidence.entries.remove(0);
    evidence.requests[0].status = Some(400);
    let unbooked = evidence.conclude().report;
    let counts = [Anomaly::RejectedButBooked, Anomaly::Refused].map(|anomaly| unbooked.count(anomaly));
    assert_eq!((counts, unbooked.exposures.unwrap().arrived), ([0, 1], 999));
}

#[test]
fn a_payment_that_was_answered_and_is_not_booked_is_lost_and_not_stuck() {
    let mut evidence = first_payment(AttemptOutcome::Unknown(Uncertainty::Timeout), Ending::Stuck);
    evidence.entries.remove(0);
    let report = evidence.conclude().report;
    assert_eq!((report.count(Anomaly::AnsweredButLost), report.count(Anomaly::Stuck)), (1, 0));
}

#[test]
fn phantoms_are_counted_with_their_sum_and_named() {
    let mut evidence = Evidence::of(safe_lesson());
    for (reference, amount_minor) in [("other-1.7", 250), ("other-1.8", 50)] {
        let entry = Entry { reference: Some(reference.to_owned()), ..evidence.entry(0, amount_minor) };
        evidence.entries.push(entry);
    }
    let ledger = evidence.conclude().report.ledger.unwrap();
    assert_eq!((ledger.phantoms, ledger.phantoms_minor), (2, 300));
    assert_eq!(ledger.phantom_references, ["other-1.7", "other-1.8"]);
}

#[test]
fn requests_that_the_service_had_counted_before_are_not_this_runs() {
    let mut evidence = Evidence::of(safe_lesson());
    let before = evidence.conclude().report.requests_at_service().unwrap();
    evidence.baseline = Baseline { requests: 17, ..evidence.baseline };
    evidence.service_requests += 17;
    let outcome = evidence.conclude();
    assert_eq!((outcome.report.requests_at_service(), outcome.verdict), (Some(before), Verdict::Upheld));
}

/// What the path was seen to do.
fn observed(changes: &Value) -> Option<Observed> {
    Evidence::of(lesson(changes)).conclude().observed
}

#[test]
fn what_the_path_does_is_told_whatever_it_was_claimed_to_do() {
    let key = json!({"idempotencyKey": "PerPayment"});
    let safe = json!({"client": key, "service": {"dedup": "UniqueKey"}});
    assert_eq!(observed(&safe), Some(Observed::ExactlyOnce));
    assert_eq!(observed(&json!({})), Some(Observed::AtLeastOnce));
    assert_eq!(observed(&json!({"client": {"retry": {"maxAttempts": 1}}})), Some(Observed::AtMostOnce));
    assert_eq!(observed(&json!({"client": {"retry": {"maxAttempts": 3}}})), Some(Observed::Neither));
    let evidence = Evidence::of(safe_lesson());
    let cut = evidence.conclude_from(&evidence.record(), without_last(&evidence.ledger()));
    assert_eq!(cut.observed, None);
    for void in [Doubt::ReportMissing, Doubt::EnvironmentChanged] {
        let mut report = evidence.conclude().report;
        report.doubts.insert(void, DoubtNote::default());
        assert_eq!(Outcome::of(&evidence.plan, report, Setting::default()).observed, None);
    }
}

#[test]
fn a_verdict_is_compared_with_what_is_expected() {
    let mut evidence = Evidence::of(safe_lesson());
    assert_eq!(evidence.conclude().is_as_expected(), Some(true));
    evidence.plan.expect = Expectation::Violated;
    assert_eq!(evidence.conclude().is_as_expected(), Some(false));
    evidence.entries.remove(0);
    assert_eq!(evidence.conclude().is_as_expected(), Some(true));
    evidence.plan.expect = Expectation::Upheld;
    assert_eq!(evidence.conclude().is_as_expected(), Some(false));
    let cut = evidence.conclude_from(&[], &[]);
    assert_eq!((cut.verdict, cut.is_as_expected()), (Verdict::Inconclusive, None));
}

#[test]
fn a_payment_that_is_never_acknowledged_ends_at_the_bound_of_attempts() {
    let lost = json!({"name": "lost", "probability": 0.999_999_9, "reset": {"at": "BeforeRequest"}});
    let (plan, mut attempts) = (lesson(&json!({"faults": [lost]})), 0);
    prediction::walk(&plan, PaymentId(0), |_| attempts += 1);
    assert_eq!(attempts, ATTEMPTS_MAX);
}

#[test]
fn an_entry_of_a_payment_that_was_never_tried_is_a_phantom() {
    let mut evidence = Evidence::of(safe_lesson());
    let mut history = History::new(evidence.history.share());
    for payment in (1..evidence.plan.count).map(PaymentId) {
        prediction::walk(&evidence.plan, payment, |attempt| history.note(payment, attempt.id.attempt, attempt.outcome));
        history.end(payment, Ending::Acknowledged);
    }
    evidence.history = history;
    evidence.requests.retain(|request| request.payment != 0);
    let untried = evidence.conclude().report;
    assert_eq!((untried.count(Anomaly::Phantom), untried.anomalies[&Anomaly::Phantom].first[0].payment), (1, 0));
    evidence.entries.remove(0);
    assert_eq!(evidence.conclude().report.count(Anomaly::Phantom), 0);
}

#[test]
fn the_last_round_of_a_hedging_client_has_as_many_copies_as_attempts_are_left() {
    let lost = json!({"name": "lost", "probability": 1.0, "reset": {"at": "BeforeRequest"}});
    let client = json!({"hedge": 2, "retry": {"maxAttempts": 3}});
    let (plan, mut attempts) = (lesson(&json!({"client": client, "faults": [lost]})), Vec::new());
    prediction::walk(&plan, PaymentId(0), |attempt| attempts.push(attempt.id.attempt));
    assert_eq!(attempts, [1, 2, 3]);
}

#[test]
fn a_fault_that_never_fires_makes_nothing_depend_on_timing() {
    let reason = |probability: f64| {
        let delay = json!({"name": "slow", "probability": probability, "delay": {"at": "BeforeRequest", "for": "1s"}});
        let client = json!({"retry": {"attemptTimeout": "1s"}});
        prediction::depends_on_timing(&lesson(&json!({"client": client, "faults": [delay]})))
    };
    assert!(reason(0.0).is_none() && reason(0.1).is_some());
}
