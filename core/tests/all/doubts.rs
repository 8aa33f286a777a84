//! Doubts that follow from numbers which two witnesses have counted.

use paylab_core::{
    judge::{doubt::Doubt, evidence::EXPOSURES_WANTED},
    prediction::Prediction,
    witness::history::Stop,
};
use paylab_testbed::evidence::{Evidence, lesson, safe_lesson};
use serde_json::json;

fn has(evidence: &Evidence, doubt: Doubt) -> bool {
    evidence.conclude().report.doubts.contains_key(&doubt)
}

#[test]
fn a_client_that_keeps_connections_needs_fewer_and_never_more() {
    for (connection, fewer) in [("KeepAlive", false), ("PerAttempt", true)] {
        let mut evidence = Evidence::of(lesson(&json!({"client": {"connection": connection}})));
        let attempts = evidence.requests.len() as u64;
        for (connections, differ) in [(attempts, false), (attempts - 1, fewer), (attempts + 1, true)] {
            evidence.record_footer.connections = connections;
            assert_eq!(has(&evidence, Doubt::ConnectionsDiffer), differ, "{connection} {connections}");
        }
    }
}

#[test]
fn a_request_may_be_missing_at_the_service_only_where_its_client_has_gone() {
    let honest = Evidence::of(safe_lesson());
    let with = |missing: i64, timeouts: u64, stopped: Option<Stop>| {
        let mut evidence = honest.clone();
        evidence.service_requests = evidence.service_requests.checked_add_signed(-missing).unwrap();
        evidence.history.attempts.timeouts = timeouts;
        evidence.history.stopped = stopped;
        has(&evidence, Doubt::RequestsDiffer)
    };
    assert!(!with(0, 0, None));
    assert!(with(1, 0, None));
    assert!(!with(1, 1, None) && !with(1, 0, Some(Stop::Deadline)));
    // More than were forwarded are somebody else's, whoever has gone.
    assert!(with(-1, 1, None) && with(-1, 0, Some(Stop::Deadline)));
}

#[test]
fn what_is_missing_of_the_exposures_is_counted() {
    let keyed = json!({"payments": {"count": 3}, "minExposures": 100, "client": {"idempotencyKey": "PerPayment"},
                       "service": {"dedup": "UniqueKey"}});
    assert_eq!(Evidence::of(lesson(&keyed)).conclude().report.doubts[&Doubt::TooFewExposures].count, 98);
}

#[test]
fn half_of_the_exposures_must_come_where_their_number_depends_on_timing() {
    let cut = |count: u64| {
        lesson(&json!({
            "payments": {"count": count},
            "client": {"idempotencyKey": "PerPayment"},
            "service": {"dedup": "CheckThenInsert"},
            "faults": [{"name": "cut", "probability": 0.3, "reset": {"at": "AfterRequest"}}],
        }))
    };
    for count in [100, 5000] {
        let plan = cut(count);
        let predicted = Prediction::of(&plan, 0..count).exposures.repeats;
        let required = (predicted / 2).min(EXPOSURES_WANTED);
        assert!(required == EXPOSURES_WANTED || required * 2 < EXPOSURES_WANTED, "{required}");
        // Nothing was repeated.
        let mut evidence = Evidence::of(lesson(&json!({"payments": {"count": count}, "faults": []})));
        evidence.plan = plan;
        let doubt = &evidence.conclude().report.doubts[&Doubt::TooFewExposures];
        let detail = doubt.detail.as_ref().unwrap();
        assert!(detail.contains(&format!("0 repeats of a booked payment, at least {required} required")), "{detail}");
        assert_eq!(doubt.count, required);
    }
}
