//! What is predicted for a seed.

use serde_json::json;

use paylab_core::{
    money::MinorUnits,
    payment::PaymentId,
    plan::Plan,
    prediction::{Prediction, depends_on_timing, repeats_are_exact, walk},
    witness::{attempt::Belief, record::FaultTally},
};
use paylab_testbed::evidence::lesson;

fn predict(plan: &Plan) -> Prediction {
    Prediction::of(plan, 0..plan.count)
}

#[test]
fn the_prediction_of_two_shares_is_their_sum() {
    let keyed = |service: &str| {
        json!({"client": {"idempotencyKey": "PerPayment", "bodyDrift": "Amount", "retry": {"maxAttempts": 3}},
               "service": {"dedup": service}})
    };
    let slow = json!({"client": {"retry": {"attemptTimeout": "1s"}},
                      "faults": [{"name": "slow", "probability": 0.3, "delay": {"at": "BeforeRequest", "for": "2s"}}]});
    let mut sum = Prediction::default();
    for changes in [json!({"client": {"retry": {"maxAttempts": 3}}}), keyed("UniqueKey"), keyed("Replay"), slow] {
        let plan = lesson(&changes);
        let whole = predict(&plan);
        let shares = [0..400, 400..plan.count].map(|share| Prediction::of(&plan, share));
        let [first, second] = shares.clone();
        assert_eq!(first.plus(second), whole, "{changes}");
        assert!(whole.faults.iter().all(|fault| fault.effective > 1), "{changes}");
        sum = sum.plus(whole);
    }
    // Every total was put to the test.
    let Prediction { attempts, forwarded, entries, booked_total, acknowledged, booked, lost, .. } = sum;
    let counts = [attempts, forwarded, entries, acknowledged, booked, lost];
    let Prediction { duplicated, booked_unknown, repeats, mismatched, exposures, timeouts, .. } = sum;
    let rest = [duplicated, booked_unknown, repeats, mismatched, exposures.repeats, timeouts];
    assert!(counts.iter().chain(&rest).all(|count| *count > 1) && booked_total.0 > 1, "{counts:?} {rest:?}");
}

#[test]
fn a_payment_that_was_booked_and_then_refused_is_exposed() {
    let drifting = json!({"client": {"idempotencyKey": "PerPayment", "bodyDrift": "Amount"},
                          "service": {"dedup": "Replay"}});
    let prediction = predict(&lesson(&drifting));
    // Each of them is booked by its first request that arrives, and every further one is a chance to book it again.
    assert_eq!(prediction.exposures.repeats, prediction.forwarded - prediction.booked);
    assert!(prediction.acknowledged < prediction.booked, "some repeats were refused: {prediction:?}");
}

#[test]
fn the_lesson_has_the_documented_totals() {
    let keyed = |most: i32| json!({"client": {"retry": {"maxAttempts": most}, "idempotencyKey": "PerPayment"}, "service": {"dedup": "UniqueKey"}});
    // attempts, entries without and with dedup, acknowledged, lost, duplicated, gave up but booked, 208
    for (most, expected) in [
        (1, [1000, 695, 695, 469, 305, 0, 226, 0]),
        (3, [1799, 1244, 971, 850, 29, 243, 121, 198]),
        (0, [2079, 1455, 1000, 1000, 0, 329, 0, 329]),
    ] {
        let without_dedup = predict(&lesson(&json!({"client": {"retry": {"maxAttempts": most}}})));
        let safe = predict(&lesson(&keyed(most)));
        let totals = [
            without_dedup.attempts,
            without_dedup.entries,
            safe.entries,
            without_dedup.acknowledged,
            without_dedup.lost,
            without_dedup.duplicated,
            without_dedup.booked_unknown,
            safe.repeats,
        ];
        assert_eq!(totals, expected, "at most {most}");
        assert_eq!((safe.duplicated, without_dedup.repeats), (0, 0));
    }
}

#[test]
fn faults_are_drawn_and_fire_and_the_earliest_takes_effect() {
    let without_dedup = predict(&lesson(&json!({})));
    let tally = |fired, effective| FaultTally { drawn: 2079, fired, effective };
    assert_eq!(without_dedup.faults, [tally(624, 624), tally(645, 455)]);
    assert_eq!((without_dedup.exposures.repeats, without_dedup.booked_total), (455, MinorUnits(145_500)));
}

#[test]
fn one_payment_is_simulated_attempt_by_attempt() {
    let plan = lesson(&json!({}));
    let mut attempts = Vec::new();
    let belief = walk(&plan, PaymentId(3), |attempt| {
        attempts.push(format!("{} {:?} {:?}", attempt.id, plan.sampler.point(&attempt.draw), attempt.handling));
    });
    expect_test::expect![[r#"
        3/1 Some(BeforeRequest) NotReceived
        3/2 Some(BeforeRequest) NotReceived
        3/3 Some(BeforeRequest) NotReceived
        3/4 Some(BeforeResponse) Booked(1)
        3/5 None Booked(2)"#]]
    .assert_eq(&attempts.join("\n"));
    assert_eq!(belief, Belief::Acknowledged);
}

#[test]
fn a_key_of_each_attempt_protects_nothing_and_a_required_key_that_is_missing_books_nothing() {
    let unique = json!({"dedup": "UniqueKey", "missingKey": "Refuse"});
    let fresh = predict(&lesson(&json!({"client": {"idempotencyKey": "PerAttempt"}, "service": unique})));
    assert_eq!((fresh.entries, fresh.duplicated), (1455, 329));
    let keyless = predict(&lesson(&json!({"service": unique})));
    assert_eq!((keyless.entries, keyless.lost, keyless.acknowledged), (0, 1000, 0));
}

#[test]
fn drifting_bodies_are_dropped_silently_by_a_unique_key_and_refused_by_replay() {
    let drifting = |dedup: &str| {
        let client = json!({"idempotencyKey": "PerPayment", "bodyDrift": "Amount"});
        predict(&lesson(&json!({"client": client, "service": {"dedup": dedup}})))
    };
    let (unique, replay) = (drifting("UniqueKey"), drifting("Replay"));
    assert_eq!((unique.mismatched, unique.duplicated), (329, 0));
    assert_eq!((replay.mismatched, replay.duplicated, replay.acknowledged), (0, 0, 671));
}

#[test]
fn each_hedged_copy_is_booked_unless_a_key_identifies_it() {
    let hedged = |dedup: &str| {
        let client = json!({"hedge": 3, "idempotencyKey": "PerPayment"});
        lesson(&json!({"client": client, "service": {"dedup": dedup}}))
    };
    let (none, unique) = (hedged("None"), hedged("UniqueKey"));
    assert_eq!(predict(&none).attempts % 3, 0);
    assert_eq!(predict(&none).entries, predict(&none).forwarded);
    assert_eq!((predict(&unique).entries, predict(&unique).duplicated), (1000, 0));
    assert!(repeats_are_exact(&none) && !repeats_are_exact(&unique));
    assert_eq!(depends_on_timing(&hedged("CheckThenInsert")), Some("which of two requests at once is faster"));
}

/// The safe lesson, in which 30 % of the requests are held before their arrival.
fn delayed(lasts: &str) -> Plan {
    lesson(&json!({
        "client": {"idempotencyKey": "PerPayment", "retry": {"attemptTimeout": "1s"}},
        "service": {"dedup": "UniqueKey"},
        "faults": [{"name": "slow", "probability": 0.3, "delay": {"at": "BeforeRequest", "for": lasts}}],
    }))
}

#[test]
fn a_short_delay_changes_no_total_and_a_long_one_makes_the_client_try_again() {
    let (short, long) = (predict(&delayed("100ms")), predict(&delayed("3s")));
    assert_eq!((short.attempts, short.entries, short.timeouts, short.exposures.repeats), (1000, 1000, 0, 0));
    assert_eq!(short.faults[0].effective, 300);
    assert!(long.timeouts > 0 && long.attempts == 1000 + long.timeouts, "{long:?}");
    // What was held arrives all the same: every attempt is forwarded.
    assert_eq!((long.forwarded, long.entries, long.lost), (long.attempts, 1000, 0));
    assert_eq!(depends_on_timing(&delayed("3s")), None);
    assert!(depends_on_timing(&delayed("900ms")).is_some_and(|reason| reason.contains("attemptTimeout")));
}

#[test]
fn a_long_delay_without_dedup_pays_twice() {
    let late = json!({
        "client": {"retry": {"attemptTimeout": "1s"}},
        "faults": [{"name": "slow", "probability": 0.3, "delay": {"at": "BeforeRequest", "for": "3s"}}],
    });
    let late = predict(&lesson(&late));
    assert_eq!(late.entries, late.attempts);
    assert!(late.duplicated > 200, "{late:?}");
}
