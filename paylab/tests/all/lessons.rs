//! The four lessons have their known totals: at any concurrency, on both databases, in every run.

use std::{fs, path::Path};

use paylab::{commands::run::measure, lab::Database};
use paylab_core::{
    claim::Verdict,
    judge::anomaly::Anomaly,
    outcome::{Outcome, Setting, totals::Total},
    plan::Plan,
    prediction::Prediction,
};
use paylab_resource::{file, plan::plan, spec::ChaosExperiment};
use paylab_testbed::Durability;
use serde_json::json;

/// File, entries, lost, duplicated, attempts, repeats acknowledged.
const LESSONS: [(&str, [u64; 5]); 4] = [
    ("pay-too-little", [695, 305, 0, 1000, 0]),
    ("never-pay-too-little", [1455, 0, 329, 2079, 0]),
    ("avoid-paying-twice", [1455, 0, 329, 2079, 0]),
    ("pay-exactly-once", [1000, 0, 0, 2079, 329]),
];

fn lesson(name: &str) -> ChaosExperiment {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(format!("{name}.yaml"));
    file::parse(&fs::read_to_string(path).unwrap(), 0).unwrap().resource
}

fn predicted(outcome: &Outcome) -> &Prediction {
    outcome.report.prediction.as_ref().unwrap()
}

/// Runs a plan, which must leave no doubt and no finding.
fn run(plan: &Plan, database: &Database) -> Outcome {
    let outcome = measure(plan, database, Setting::default()).unwrap();
    assert!(outcome.report.doubts.is_empty() && outcome.findings.is_empty(), "{database}: {outcome:?}");
    outcome
}

fn check(database: &Database) {
    for (name, totals) in LESSONS {
        for concurrency in [1, 8, 64] {
            let mut spec = lesson(name).spec;
            spec.client.concurrency = concurrency;
            let outcome = run(&plan(&spec, 0).unwrap(), database);
            let seen = [Total::Entries, Total::Lost, Total::Duplicated, Total::Attempts, Total::Repeats]
                .map(|total| total.measured(&outcome.report).unwrap());
            assert_eq!(seen, totals, "{name}, {concurrency} in flight, {database}: {outcome:?}");
            assert_eq!(outcome.is_as_expected(), Some(true), "{name}: {:?}", outcome.reason);
            assert_eq!(outcome.report.count(Anomaly::Duplicated), totals[2]);
        }
    }
}

#[test]
fn every_lesson_has_its_exact_totals_on_sqlite() {
    check(&Database::Temporary);
}

#[test]
fn every_lesson_has_its_exact_totals_on_postgresql() {
    if let Some(postgres) = paylab_testbed::postgres(Durability::Fast) {
        check(&Database::Postgres(postgres.url().into()));
    }
}

#[test]
fn several_workers_share_the_payments_and_come_to_the_same_totals() {
    let mut spec = lesson("never-pay-too-little").spec;
    spec.client.workers = 3;
    let outcome = run(&plan(&spec, 0).unwrap(), &Database::Temporary);
    let totals =
        [Total::Entries, Total::Attempts, Total::Duplicated].map(|total| total.measured(&outcome.report).unwrap());
    assert_eq!(totals, [1455, 2079, 329], "{outcome:?}");
}

/// 100 payments, a quarter of whose attempts are held for twice as long as the client waits. The timeout is so long that a busy
/// machine does not make other attempts time out.
fn delayed(dedup: &str) -> Plan {
    crate::support::plan(json!({
        "payments": {"count": 100},
        "client": {"idempotencyKey": "PerPayment", "concurrency": 100, "retry": {"attemptTimeout": "6s"}},
        "service": {"dedup": dedup},
        "faults": [
            {"name": "late-request", "probability": 0.15, "delay": {"at": "BeforeRequest", "for": "12s"}},
            {"name": "late-response", "probability": 0.1, "delay": {"at": "BeforeResponse", "for": "12s"}},
            {"name": "slow", "probability": 0.5, "delay": {"at": "MidResponse", "for": "20ms"}},
        ],
    }))
}

/// A delay makes the client try again, and what was held arrives all the same: without dedup it is paid twice.
fn check_delays(database: &Database) {
    for (dedup, verdict) in [("None", Verdict::Violated), ("UniqueKey", Verdict::Upheld)] {
        let outcome = run(&delayed(dedup), database);
        let totals = Total::ALL.into_iter().filter(|total| *total != Total::Repeats);
        let measured: Vec<_> = totals.clone().map(|total| total.measured(&outcome.report).unwrap()).collect();
        let expected: Vec<_> = totals.map(|total| total.predicted(predicted(&outcome))).collect();
        assert_eq!((measured, outcome.verdict), (expected, verdict), "{dedup} on {database}: {outcome:?}");
        assert_eq!(outcome.report.record.as_ref().unwrap().faults, predicted(&outcome).faults, "{dedup} on {database}");
        assert_eq!(outcome.report.attempts.timeouts, predicted(&outcome).timeouts, "{dedup} on {database}");
    }
}

#[test]
fn delays_have_the_predicted_totals_on_sqlite() {
    check_delays(&Database::Temporary);
}

#[test]
fn delays_have_the_predicted_totals_on_postgresql() {
    if let Some(postgres) = paylab_testbed::postgres(Durability::Fast) {
        check_delays(&Database::Postgres(postgres.url().into()));
    }
}

#[test]
fn the_example_of_late_requests_pays_twice() {
    let outcome = run(&plan(&lesson("late-requests").spec, 0).unwrap(), &Database::Temporary);
    assert_eq!((outcome.is_as_expected(), outcome.reason.to_string().as_str()), (Some(true), "Duplicated"));
}
