//! What the evidence comes to.

use serde_json::json;

use paylab_core::{
    claim::Verdict,
    judge::{
        anomaly::{Anomaly, EXAMPLES_KEPT},
        doubt::{Doubt, DoubtNote},
        report::Report,
    },
    outcome::{Outcome, Setting, exposure::bug_rate_bound},
};
use paylab_testbed::evidence::{Evidence, lesson, safe_lesson};

#[test]
fn a_fault_that_never_took_effect_is_a_doubt() {
    let mut evidence = Evidence::of(safe_lesson());
    let silent = Evidence::of(lesson(&json!({
        "client": {"idempotencyKey": "PerPayment"},
        "service": {"dedup": "UniqueKey"},
        "faults": [{"name": "request-lost", "probability": 0.0, "reset": {"at": "BeforeRequest"}}],
    })));
    evidence.requests = silent.requests;
    let outcome = evidence.conclude();
    assert_eq!(outcome.verdict, Verdict::Inconclusive);
    assert!(outcome.report.doubts.contains_key(&Doubt::FaultSilent), "{:?}", outcome.report.doubts);
}

#[test]
fn a_report_that_says_nothing_proves_nothing() {
    let plan = safe_lesson();
    let outcome = Outcome::of(&plan, Report::default(), Setting::default());
    assert_eq!((outcome.verdict, outcome.reason.to_string().as_str()), (Verdict::Inconclusive, "LedgerFlawed"));
    assert!(!outcome.can_show(Anomaly::Duplicated) && !outcome.can_show(Anomaly::Lost));
}

#[test]
fn the_bound_of_the_bug_rate_falls_with_the_exposures() {
    let shown: Vec<_> = [0, 1, 100, 455].map(|n| format!("{:.4}", bug_rate_bound(n))).into();
    assert_eq!(shown, ["1.0000", "0.9500", "0.0295", "0.0066"]);
    assert!(bug_rate_bound(u64::MAX) > 0.0);
}

#[test]
fn a_report_fits_a_termination_message_however_much_is_wrong() {
    let mut report = Evidence::of(lesson(&json!({}))).conclude().report;
    assert!(report.to_json_within(4096).len() <= 4096);
    let example = report.anomalies[&Anomaly::Duplicated].clone();
    assert_eq!(example.first.len(), EXAMPLES_KEPT);
    for anomaly in [
        Anomaly::AcknowledgedButLost,
        Anomaly::Mismatched,
        Anomaly::SelfDuplicated,
        Anomaly::Lost,
        Anomaly::RefusedRepeat,
    ] {
        report.anomalies.insert(anomaly, example.clone());
    }
    for doubt in [Doubt::LoadStopped, Doubt::LedgerFlawed, Doubt::RecordFlawed, Doubt::CoinsDiffer] {
        report.doubt(doubt, DoubtNote { count: 1, first: Some(1), detail: Some("x".repeat(300)) });
    }
    let json = report.to_json_within(2048);
    assert!(json.len() <= 2048, "{}", json.len());
    let read: Report = serde_json::from_str(&json).unwrap();
    assert_eq!(read.count(Anomaly::Duplicated), 329);
}
