//! The plans on which lies are told.

use paylab_core::{
    judge::{anomaly::Anomaly, doubt::Doubt},
    outcome::Reason,
    plan::Plan,
};
use paylab_testbed::evidence::lesson;
use serde_json::{Value, json};

use crate::Lie;

/// A payment that is booked by its only attempt.
pub(crate) const ONCE: u64 = 2;
/// One whose first answer is lost, so that it is booked by the first of its two attempts.
pub(crate) const TWICE: u64 = 6;
/// One whose three attempts all miss the service, so that only a second chance books it.
pub(crate) const RECOVERED: u64 = 3;

fn short_lesson(mut changes: Value) -> Plan {
    changes["payments"] = json!({"count": 200});
    lesson(&changes)
}

fn keyed(claim: &str, mut client: Value) -> Plan {
    client["idempotencyKey"] = json!("PerPayment");
    short_lesson(json!({"claim": claim, "client": client, "service": {"dedup": "UniqueKey"}}))
}

/// One key for each payment, a unique column, until acknowledged: exactly once.
pub(crate) fn safe() -> Plan {
    keyed("ExactlyOnce", json!({}))
}

/// The same with two replicas, each of which counts its own requests only.
pub(crate) fn replicated() -> Plan {
    let database = json!({"secretKeyRef": {"name": "pg", "key": "url"}});
    short_lesson(json!({"client": {"idempotencyKey": "PerPayment"},
        "service": {"dedup": "UniqueKey", "replicas": 2, "database": database}}))
}

/// Every request is booked, and exactly once is claimed.
pub(crate) fn naive() -> Plan {
    short_lesson(json!({}))
}

/// Every request is booked, and at least once is claimed.
pub(crate) fn at_least() -> Plan {
    short_lesson(json!({"claim": "AtLeastOnce"}))
}

/// One try for each payment: at most once.
pub(crate) fn once() -> Plan {
    short_lesson(json!({"claim": "AtMostOnce", "client": {"retry": {"maxAttempts": 1}}}))
}

/// Three tries with a key: at most once.
pub(crate) fn thrice() -> Plan {
    keyed("AtMostOnce", json!({"retry": {"maxAttempts": 3}}))
}

/// Three tries with a key, and exactly once is claimed.
pub(crate) fn given_up() -> Plan {
    keyed("ExactlyOnce", json!({"retry": {"maxAttempts": 3}}))
}

/// Three tries, and two more on the healed path: exactly once.
pub(crate) fn recovering() -> Plan {
    keyed("ExactlyOnce", json!({"retry": {"maxAttempts": 3}, "recovery": {"attempts": 2}}))
}

/// Two copies of each request at once: exactly once.
pub(crate) fn hedging() -> Plan {
    keyed("ExactlyOnce", json!({"hedge": 2}))
}

/// Repeats ask for one cent more, and the service drops that silently.
pub(crate) fn drifting() -> Plan {
    keyed("ExactlyOnce", json!({"bodyDrift": "Amount"}))
}

/// The same, with one try.
pub(crate) fn drifting_once() -> Plan {
    keyed("AtMostOnce", json!({"bodyDrift": "Amount", "retry": {"maxAttempts": 1}}))
}

/// Three tries with drift, and every request is booked: at least once is claimed after a second chance.
pub(crate) fn drifting_thrice() -> Plan {
    short_lesson(json!({"claim": "AtLeastOnce",
        "client": {"bodyDrift": "Amount", "retry": {"maxAttempts": 3}, "recovery": {"attempts": 2}}}))
}

/// Nothing breaks; some answers are late.
pub(crate) fn slow() -> Plan {
    let slow = json!([{"name": "slow", "probability": 0.3, "delay": {"at": "BeforeResponse", "for": "100ms"}}]);
    short_lesson(json!({"claim": "AtMostOnce", "minExposures": 0, "faults": slow}))
}

/// Every connection is reset before a request is read.
pub(crate) fn deaf() -> Plan {
    let deaf = json!([{"name": "deaf", "probability": 1.0, "reset": {"at": "Connect"}}]);
    short_lesson(json!({"claim": "AtMostOnce", "client": {"retry": {"maxAttempts": 1}}, "faults": deaf}))
}

/// The first answer is lost, and if there is a second attempt, its connection is reset.
pub(crate) fn twofold() -> Plan {
    let faults = json!([
        {"name": "first", "probability": 0.3, "reset": {"at": "BeforeResponse"}, "attempts": [1]},
        {"name": "second", "probability": 1.0, "reset": {"at": "Connect"}, "attempts": [2]},
    ]);
    let mut spec = json!({"client": {"idempotencyKey": "PerPayment"}, "service": {"dedup": "UniqueKey"}});
    spec["faults"] = faults;
    short_lesson(spec)
}

/// The service refuses every request, because none has a key.
pub(crate) fn refusing() -> Plan {
    short_lesson(json!({"claim": "AtLeastOnce", "service": {"dedup": "UniqueKey", "missingKey": "Refuse"}}))
}

/// More repeats are demanded than the plan delivers.
pub(crate) fn demanding() -> Plan {
    let client = json!({"idempotencyKey": "PerPayment"});
    short_lesson(json!({"client": client, "service": {"dedup": "UniqueKey"}, "minExposures": 1000}))
}

/// What each plan comes to when nobody lies.
pub(crate) static HONEST: &[Lie] = &[
    ("safe", safe, |_| {}, Reason::ClaimHeld),
    ("naive", naive, |_| {}, Reason::Broken(Anomaly::Duplicated)),
    ("at least once", at_least, |_| {}, Reason::ClaimHeld),
    ("once", once, |_| {}, Reason::ClaimHeld),
    ("at most once in three tries", thrice, |_| {}, Reason::ClaimHeld),
    ("given up", given_up, |_| {}, Reason::Broken(Anomaly::Lost)),
    ("recovering", recovering, |_| {}, Reason::ClaimHeld),
    ("hedging", hedging, |_| {}, Reason::ClaimHeld),
    ("drifting", drifting, |_| {}, Reason::Broken(Anomaly::Mismatched)),
    ("drifting once", drifting_once, |_| {}, Reason::ClaimHeld),
    ("drifting, and every request is booked", drifting_thrice, |_| {}, Reason::ClaimHeld),
    ("slow", slow, |_| {}, Reason::ClaimHeld),
    ("deaf", deaf, |_| {}, Reason::Doubted(Doubt::TooFewExposures)),
    ("refusing", refusing, |_| {}, Reason::Doubted(Doubt::TooFewExposures)),
    ("demanding", demanding, |_| {}, Reason::Doubted(Doubt::TooFewExposures)),
];
