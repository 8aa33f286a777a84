//! The judge, with correct evidence and with falsified evidence.

use std::sync::LazyLock;

use serde_json::json;

use paylab_core::{
    claim::Verdict,
    fault::point::Point,
    judge::{anomaly::Anomaly, doubt::Doubt},
    outcome::Outcome,
    payment::PaymentId,
    prediction,
    targets::handling::Handling,
    witness::{
        attempt::{AttemptOutcome, Belief, Ending, Rejection, Uncertainty},
        history::{History, Stop},
        record::End,
        seal::Flaw,
    },
};
use paylab_testbed::evidence::{Evidence, lesson, safe_lesson};

/// The evidence of the safe lesson, made once.
static SAFE: LazyLock<Evidence> = LazyLock::new(|| Evidence::of(safe_lesson()));

/// The verdict and its reason after the evidence of the safe lesson was changed.
fn after(change: impl FnOnce(&mut Evidence)) -> (Verdict, String) {
    let mut evidence = SAFE.clone();
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
    let safe = SAFE.conclude();
    assert_eq!((safe.verdict, safe.exposures, safe.broken.len()), (Verdict::Upheld, Some(455), 0));
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
        let entry = evidence.entry(payment_with(1), 100);
        evidence.entries.push(entry);
    };
    // The payment reached the service once, so the service alone can have done it.
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

/// Replaces what the client has noted of one payment.
fn rewrite(evidence: &mut Evidence, rewritten: u64, outcomes: &[AttemptOutcome], ending: Ending) {
    let mut history = History::new(evidence.history.share());
    prediction_of(evidence).into_iter().for_each(|(payment, attempts)| {
        let predicted = attempts.iter().find_map(|outcome| outcome.ending()).unwrap_or(Ending::GaveUp);
        let (outcomes, ending) = if payment.0 == rewritten { (outcomes, ending) } else { (&attempts[..], predicted) };
        for (attempt, outcome) in (1..).zip(outcomes) {
            history.note(payment, attempt, *outcome);
        }
        history.end(payment, ending);
    });
    evidence.history = history;
}

fn prediction_of(evidence: &Evidence) -> Vec<(PaymentId, Vec<AttemptOutcome>)> {
    let outcomes = |payment| {
        let mut outcomes = Vec::new();
        prediction::walk(&evidence.plan, payment, |attempt| outcomes.push(attempt.outcome));
        (payment, outcomes)
    };
    evidence.history.share().map(PaymentId).map(outcomes).collect()
}

const REFUSED: AttemptOutcome = AttemptOutcome::Rejected(Rejection::Refused);
const BUSY: AttemptOutcome = AttemptOutcome::Unknown(Uncertainty::Retryable);

/// The first payment of the safe lesson that has this many attempts, all of which reach the service.
fn payment_with(attempts: usize) -> u64 {
    let plan = safe_lesson();
    let of_payment = |payment: u64| {
        let mut handlings = Vec::new();
        prediction::walk(&plan, PaymentId(payment), |attempt| handlings.push(attempt.handling));
        handlings
    };
    let fits = |payment: &u64| {
        let handlings = of_payment(*payment);
        handlings.len() == attempts && !handlings.contains(&Handling::NotReceived)
    };
    (0..plan.count).find(fits).expect("the lesson has such a payment")
}

#[test]
fn an_entry_of_a_refused_payment_is_a_violation() {
    assert_eq!(
        after(|evidence| rewrite(evidence, payment_with(1), &[REFUSED], Ending::Refused)),
        violated(Anomaly::RejectedButBooked)
    );
}

#[test]
fn a_booked_payment_whose_repeat_is_refused_is_a_violation() {
    let lost = AttemptOutcome::Unknown(Uncertainty::Reset);
    assert_eq!(
        after(|evidence| rewrite(evidence, payment_with(2), &[lost, REFUSED], Ending::Refused)),
        violated(Anomaly::RefusedRepeat)
    );
    // Without its entry, and without any 2xx in the record, both sides know that nothing was paid.
    let refuse = |evidence: &mut Evidence| {
        rewrite(evidence, payment_with(2), &[lost, REFUSED], Ending::Refused);
        unbook(evidence, payment_with(2));
    };
    let mut evidence = SAFE.clone();
    refuse(&mut evidence);
    let outcome = evidence.conclude();
    assert_eq!((outcome.verdict, outcome.report.count(Anomaly::Refused)), (Verdict::Upheld, 1), "{:?}", outcome.report);
}

/// Takes a payment's entry out of the ledger, and makes the service answer 400 to it.
fn unbook(evidence: &mut Evidence, payment: u64) {
    let reference = evidence.run.reference(PaymentId(payment));
    evidence.entries.retain(|entry| entry.reference.as_deref() != Some(&reference));
    let requests = evidence.requests.iter_mut().filter(|request| request.payment == payment);
    requests.for_each(|request| request.status = request.status.map(|_| 400));
}

#[test]
fn a_payment_that_is_never_settled_is_a_violation_booked_or_not() {
    let stick = |evidence: &mut Evidence| rewrite(evidence, payment_with(1), &[BUSY], Ending::Stuck);
    assert_eq!(after(stick), violated(Anomaly::Stuck));
    assert_eq!(
        after(|evidence| {
            stick(evidence);
            unbook(evidence, payment_with(1));
        }),
        violated(Anomaly::Stuck)
    );
    // If the lab has lost one of its requests, it proves nothing.
    let lost_by_the_lab = |evidence: &mut Evidence| {
        stick(evidence);
        let payment = payment_with(1);
        evidence.requests.iter_mut().find(|request| request.payment == payment).unwrap().end = End::ServiceGone;
        evidence.record_footer.unintended_resets = 1;
    };
    assert_eq!(after(lost_by_the_lab), inconclusive(Doubt::UnintendedResets));
}

#[test]
fn a_payment_that_is_given_up_unbooked_breaks_every_claim_but_at_most_once() {
    for (claim, verdict) in
        [("AtMostOnce", Verdict::Upheld), ("AtLeastOnce", Verdict::Violated), ("ExactlyOnce", Verdict::Violated)]
    {
        let client = json!({"idempotencyKey": "PerPayment", "retry": {"maxAttempts": 3}});
        let plan = lesson(&json!({"claim": claim, "client": client, "service": {"dedup": "UniqueKey"}}));
        let outcome = Evidence::of(plan).conclude();
        assert_eq!((outcome.verdict, outcome.report.count(Anomaly::Lost)), (verdict, 29), "{claim}");
    }
}

#[test]
fn recovery_on_the_healed_path_delivers_what_was_given_up() {
    for (dedup, verdict, duplicated) in [("UniqueKey", Verdict::Upheld, 0), ("None", Verdict::Violated, 319)] {
        let client = json!({"idempotencyKey": "PerPayment", "retry": {"maxAttempts": 3}, "recovery": {"attempts": 2}});
        let outcome = Evidence::of(lesson(&json!({"client": client, "service": {"dedup": dedup}}))).conclude();
        let prediction = outcome.report.prediction.clone().unwrap();
        // 150 payments were not acknowledged by three attempts; each needs one more.
        assert_eq!((prediction.attempts, prediction.acknowledged, prediction.lost), (1799 + 150, 1000, 0), "{dedup}");
        assert_eq!((outcome.verdict, prediction.duplicated), (verdict, duplicated), "{dedup}");
    }
}

#[test]
fn two_identities_of_one_payment_break_exactly_once_alone() {
    for (claim, verdict) in
        [("AtMostOnce", Verdict::Upheld), ("AtLeastOnce", Verdict::Upheld), ("ExactlyOnce", Verdict::Violated)]
    {
        let client = json!({"idempotencyKey": "PerPayment"});
        let plan = lesson(&json!({"claim": claim, "client": client, "service": {"dedup": "UniqueKey"}}));
        let mut evidence = Evidence::of(plan);
        evidence.history.identify(PaymentId(5), "tr_1");
        assert_eq!(evidence.conclude().verdict, Verdict::Upheld, "{claim}");
        evidence.history.identify(PaymentId(5), "tr_2");
        assert_eq!(evidence.conclude().verdict, verdict, "{claim}");
    }
}

#[test]
fn what_nobody_has_read_is_not_known() {
    let evidence = Evidence::of(lesson(&json!({})));
    let (record, ledger) = (evidence.record(), evidence.ledger());
    let unread = |lines: &[Vec<u8>]| lines[..lines.len() - 1].to_vec();
    let without_ledger = evidence.conclude_from(&record, &unread(&ledger));
    assert_eq!((without_ledger.report.ledger.clone(), without_ledger.observed), (None, None));
    assert_eq!((without_ledger.report.lost(), without_ledger.exposures), (None, None));
    assert_eq!(without_ledger.report.anomalies.len(), 0);
    // Duplicates may come from another sender; without the record nobody knows.
    let without_record = evidence.conclude_from(&unread(&record), &ledger);
    assert_eq!((without_record.report.record.clone(), without_record.broken), (None, vec![]));
    assert_eq!(without_record.verdict, Verdict::Inconclusive);
}

#[test]
fn a_second_sender_makes_duplicates_a_doubt() {
    let twice = |evidence: &mut Evidence| {
        let payment = payment_with(1);
        let copy = evidence.requests.iter().find(|request| request.payment == payment).unwrap().clone();
        evidence.requests.push(copy);
        evidence.record_footer.connections += 1;
        evidence.service_requests += 1;
        evidence.entries.push(evidence.entry(payment_with(1), 100));
    };
    assert_eq!(after(twice), inconclusive(Doubt::OtherSender));
    // A request behind the proxy is not in its record, but the service has counted it.
    let behind = |evidence: &mut Evidence| {
        evidence.service_requests += 1;
        evidence.entries.push(evidence.entry(payment_with(1), 100));
    };
    assert_eq!(after(behind), inconclusive(Doubt::RequestsDiffer));
    let stranger = |evidence: &mut Evidence| {
        evidence.record_footer.unattributed = 1;
        evidence.record_footer.connections += 1;
        evidence.service_requests += 1;
        evidence.entries.push(evidence.entry(payment_with(1), 100));
    };
    assert_eq!(after(stranger), inconclusive(Doubt::Strangers));
}

#[test]
fn a_drift_of_more_than_the_attempts_explain_is_a_mismatch() {
    let client = json!({"idempotencyKey": "PerPayment", "bodyDrift": "Amount", "retry": {"maxAttempts": 1}});
    let once = |claim| lesson(&json!({"claim": claim, "client": client, "service": {"dedup": "UniqueKey"}}));
    let mut evidence = Evidence::of(once("AtMostOnce"));
    assert_eq!(evidence.conclude().verdict, Verdict::Upheld);
    let unanswered = evidence.requests.iter().find(|request| request.at == Some(Point::BeforeResponse)).unwrap();
    let reference = evidence.run.reference(PaymentId(unanswered.payment));
    let entry = evidence.entries.iter_mut().find(|entry| entry.reference.as_ref() == Some(&reference)).unwrap();
    entry.amount_minor = 100_000_100;
    assert_eq!(evidence.conclude().reason.to_string(), "Mismatched");
}

#[test]
fn a_ledger_that_counts_other_numbers_than_it_shows_is_a_doubt() {
    assert_eq!(after(|evidence| evidence.uncounted_entries = 1), inconclusive(Doubt::LedgerFlawed));
}

#[test]
fn nothing_is_upheld_where_no_request_arrived() {
    let faults = json!([{"name": "deaf", "probability": 1.0, "reset": {"at": "Connect"}}]);
    let plan = lesson(&json!({"claim": "AtMostOnce", "client": {"retry": {"maxAttempts": 1}}, "faults": faults}));
    let outcome = Evidence::of(plan).conclude();
    assert_eq!((outcome.verdict, outcome.exposures), (Verdict::Inconclusive, Some(0)));
    let detail = outcome.report.doubts[&Doubt::TooFewExposures].detail.as_deref();
    assert_eq!(detail, Some("0 requests that arrived, at least 1 required (spec.minExposures)"));
}

#[test]
fn payments_that_are_refused_for_good_are_one_class_whatever_the_bound_of_attempts() {
    for most in [0, 3] {
        let refusing = json!({"claim": "AtLeastOnce", "client": {"retry": {"maxAttempts": most}}, "faults": [],
            "service": {"dedup": "UniqueKey", "missingKey": "Refuse"}});
        let outcome = Evidence::of(lesson(&refusing)).conclude();
        assert_eq!(outcome.reason.to_string(), "TooFewExposures", "{most}: {:?}", outcome.report);
        assert_eq!((outcome.report.count(Anomaly::Refused), outcome.report.anomalies.len()), (1000, 1), "{most}");
    }
}

#[test]
fn silent_drift_of_the_amount_is_a_mismatch() {
    let client = json!({"idempotencyKey": "PerPayment", "bodyDrift": "Amount"});
    let plan = lesson(&json!({"client": client, "service": {"dedup": "UniqueKey"}}));
    let outcome = Evidence::of(plan).conclude();
    assert_eq!((outcome.reason.to_string().as_str(), outcome.report.count(Anomaly::Mismatched)), ("Mismatched", 329));
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
    let mut half = SAFE.clone();
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
    let evidence = &*SAFE;
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
    // Some payments are given up, some of them booked.
    let three = json!({"client": {"retry": {"maxAttempts": 3}}});
    let evidence = Evidence::of(lesson(&three));
    let (record, ledger) = (evidence.record(), evidence.ledger());
    let whole = evidence.judge_share(&evidence.history, &record, &ledger);
    let shares = [0..300, 300..1000].map(|share| {
        let mut history = History::new(share.clone());
        let mut part = Evidence::of(lesson(&three));
        part.requests.retain(|request| share.contains(&request.payment));
        for payment in share.map(PaymentId) {
            let belief = prediction::walk(&part.plan, payment, |attempt| {
                history.note(payment, attempt.id.attempt, attempt.outcome);
            });
            let is_known = belief == Belief::Acknowledged;
            history.end(payment, if is_known { Ending::Acknowledged } else { Ending::GaveUp });
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
