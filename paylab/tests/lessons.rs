//! The four lessons end as they are known to end: at any concurrency, on both databases, every time.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{fs, path::Path};

use paylab::{lab::Database, run::measure};
use paylab_experiment::{file, plan::Plan, report::Class, spec::ChaosExperiment, totals::Total};
use paylab_testbed::Durability;

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

fn check(database: &Database) {
    for (name, totals) in LESSONS {
        for concurrency in [1, 8, 64] {
            let mut spec = lesson(name).spec;
            spec.client.concurrency = concurrency;
            let plan = Plan::parse(&spec, 0).unwrap();
            let measured = measure(&plan, database).unwrap();
            let report = &measured.report;
            let seen = [Total::Entries, Total::Lost, Total::Duplicated, Total::Attempts, Total::Repeats]
                .map(|total| total.measured(report));
            let conclusion = &measured.conclusion;
            assert_eq!(seen, totals, "{name}, {concurrency} in flight, {database}: {conclusion:?}");
            assert_eq!(conclusion.is_as_expected(plan.expect), Some(true), "{}", conclusion.sentence);
            assert!(conclusion.doubts.is_empty() && conclusion.findings.is_empty(), "{conclusion:?}");
            assert_eq!(report.count(Class::Duplicated), totals[2]);
        }
    }
}

#[test]
fn every_lesson_ends_to_the_cent_on_sqlite() {
    check(&Database::Temporary);
}

#[test]
fn every_lesson_ends_to_the_cent_on_postgresql() {
    if let Some(postgres) = paylab_testbed::postgres(Durability::Fast) {
        check(&Database::Postgres(postgres.url().into()));
    }
}

#[test]
fn several_load_pods_share_the_payments_and_come_to_the_same() {
    let mut spec = lesson("never-pay-too-little").spec;
    spec.client.workers = 3;
    let measured = support::run(&Plan::parse(&spec, 0).unwrap());
    let totals = [Total::Entries, Total::Attempts, Total::Duplicated].map(|total| total.measured(&measured.report));
    assert_eq!(totals, [1455, 2079, 329], "{:?}", measured.conclusion);
    assert!(measured.conclusion.doubts.is_empty(), "{:?}", measured.conclusion.doubts);
}
