//! What disturbs Paylab's own modes and is no nemesis of the gauntlet, on real sockets: each broken mode fails, and each safe mode holds. The
//! table of modes and nemeses is in `gauntlet.rs`.

use paylab_core::judge::{anomaly::Anomaly, doubt::Doubt};
use serde_json::{Value, json};

const MODES: [&str; 8] =
    ["None", "UniqueKey", "Replay", "CheckThenInsert", "Memory", "KeyThenApply", "ApplyThenKey", "AckThenApply"];

/// What a nemesis has revealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Holds,
    Duplicates,
    AcknowledgedButLost,
    NeverBooked,
}

use Seen::{AcknowledgedButLost, Duplicates, Holds, NeverBooked};

use crate::support::{fault, lesson_faults, plan, run};

fn seen(mode: &str, nemesis: &Value) -> Seen {
    let mut spec = json!({
        "payments": {"count": 60},
        "client": {"idempotencyKey": "PerPayment", "retry": {"maxAttempts": 40, "backoff": {"base": "2ms", "cap": "20ms"}}},
        "service": {},
        "faults": [],
    });
    for part in ["client", "service"] {
        for (field, value) in nemesis[part].as_object().into_iter().flatten() {
            spec[part][field] = value.clone();
        }
    }
    spec["service"]["dedup"] = json!(mode);
    if let Some(faults) = nemesis.get("faults") {
        spec["faults"] = faults.clone();
    }
    let measured = run(&plan(spec));
    let report = &measured.report;
    let mut doubts = report.doubts.keys().filter(|doubt| **doubt != Doubt::TooFewExposures);
    assert_eq!(doubts.next(), None, "{mode}: {:?}", report.doubts);
    match () {
        () if report.count(Anomaly::Duplicated) > 0 => Duplicates,
        () if report.count(Anomaly::AcknowledgedButLost) > 0 => AcknowledgedButLost,
        () if report.lost() == Some(60) => {
            assert_eq!((report.count(Anomaly::Stuck), report.payments.acknowledged), (60, 0), "{mode}");
            NeverBooked
        }
        () => {
            assert_eq!(report.ledger.as_ref().map(|ledger| ledger.booked), Some(60), "{mode}: {:?}", measured.verdict);
            Holds
        }
    }
}

fn check(nemesis: &Value, expected: [Seen; 8]) {
    let table = MODES.map(|mode| (mode, seen(mode, nemesis)));
    let expected: Vec<_> = MODES.into_iter().zip(expected).collect();
    assert_eq!(table.to_vec(), expected, "{nemesis}");
}

#[test]
fn half_a_request_is_never_booked() {
    check(&json!({"faults": [fault("half", 0.4, "MidRequest")]}), [Holds; 8]);
}

#[test]
fn a_cancelled_booking_whose_key_is_already_kept_is_acknowledged_and_lost() {
    // Every attempt is cancelled before it has booked.
    let nemesis = short_timeout();
    assert_eq!(seen("KeyThenApply", &nemesis), AcknowledgedButLost);
    assert_eq!(seen("Memory", &nemesis), AcknowledgedButLost);
    // The correct modes book nothing either, and say so: no attempt is acknowledged.
    assert_eq!(seen("UniqueKey", &nemesis), NeverBooked);
    assert_eq!(seen("Replay", &nemesis), NeverBooked);
}

/// Every attempt takes longer than the client waits, and a service that drops what it works on when its client hangs up.
fn short_timeout() -> Value {
    let retry = json!({"maxAttempts": 40, "attemptTimeout": "150ms", "backoff": {"base": "40ms", "cap": "80ms"}});
    json!({"client": {"retry": retry, "concurrency": 60},
           "service": {"processingTime": "5s", "onDisconnect": "Cancel"}})
}

#[test]
fn a_key_of_each_attempt_protects_nothing() {
    check(&json!({"client": {"idempotencyKey": "PerAttempt"}, "faults": lesson_faults()}), [Duplicates; 8]);
}

#[test]
fn a_repeat_after_the_key_has_expired_is_booked_again() {
    let retry = json!({"maxAttempts": 40, "backoff": {"base": "60ms", "cap": "60ms"}});
    let faults = json!([fault("response-lost", 0.5, "BeforeResponse")]);
    let late =
        |ttl: Value| seen("Replay", &json!({"client": {"retry": retry}, "service": {"keyTtl": ttl}, "faults": faults}));
    assert_eq!((late(json!("1ms")), late(Value::Null)), (Duplicates, Holds));
}
