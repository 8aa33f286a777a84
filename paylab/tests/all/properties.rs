//! Two hundred random small experiments, each on real sockets: what is measured is what was predicted.

use paylab_core::{
    fault::point::Point,
    judge::{anomaly::Anomaly, doubt::Doubt},
    outcome::totals::Total,
    plan::Plan,
    prediction::{depends_on_timing, repeats_are_exact},
};
use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Value, json};

const EXPERIMENTS: u32 = 200;

fn faults() -> impl Strategy<Value = Value> {
    let point = select(Point::ALL.to_vec());
    let only = prop_oneof![3 => Just(Value::Null), 1 => Just(json!([1])), 1 => Just(json!([2, 3]))];
    let effect = (point, select(vec!["reset", "reset", "reset", "delay"])).prop_map(|(at, effect)| match effect {
        "delay" => ("delay", json!({"at": at, "for": "3ms"})),
        reset => (reset, json!({"at": at})),
    });
    let one = (0.0..0.6, effect, only);
    prop::collection::vec(one, 0..4).prop_map(|faults| {
        let named = faults.into_iter().enumerate().map(|(index, (probability, (effect, settings), attempts))| {
            json!({"name": format!("fault-{index}"), "probability": probability, effect: settings, "attempts": attempts})
        });
        Value::Array(named.collect())
    })
}

fn client() -> impl Strategy<Value = Value> {
    (
        select(vec![0, 0, 1, 2, 4]),
        select(vec!["None", "PerPayment", "PerPayment", "PerAttempt"]),
        1..16,
        1..3,
        select(vec![1, 1, 2]),
        select(vec!["PerAttempt", "KeepAlive"]),
        select(vec!["None", "None", "Amount"]),
    )
        .prop_map(|(most, key, concurrency, workers, hedge, connection, drift)| {
            let most = if most > 0 { most.max(hedge) } else { 0 };
            json!({"retry": {"maxAttempts": most}, "idempotencyKey": key, "concurrency": concurrency, "workers": workers,
                   "hedge": hedge, "connection": connection, "bodyDrift": drift})
        })
}

fn service() -> impl Strategy<Value = Value> {
    let modes =
        ["None", "UniqueKey", "Replay", "CheckThenInsert", "Memory", "KeyThenApply", "ApplyThenKey", "AckThenApply"];
    (select(modes.to_vec()), select(vec!["Book", "Book", "Refuse"]))
        .prop_map(|(dedup, missing)| json!({"dedup": dedup, "missingKey": missing}))
}

fn experiments() -> impl Strategy<Value = Plan> {
    (faults(), client(), service(), 1..40, 0..1_000_000).prop_filter_map(
        "must be a plan whose result does not depend on timing",
        |(faults, client, service, count, seed)| {
            let spec = json!({"faults": faults, "client": client, "service": service, "seed": seed,
                              "payments": {"count": count}});
            crate::support::try_plan(spec).ok().filter(|plan| depends_on_timing(plan).is_none())
        },
    )
}

#[test]
fn what_is_measured_is_what_was_predicted() {
    let config =
        Config { cases: EXPERIMENTS, failure_persistence: None, max_global_rejects: 20_000, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[42; 32]);
    let held = TestRunner::new_with_rng(config, rng).run(&experiments(), |plan| {
        let measured = crate::support::run(&plan);
        let report = &measured.report;
        let prediction = report.prediction.as_ref().unwrap();
        let record = report.record.as_ref().unwrap();
        for total in Total::ALL.into_iter().filter(|total| *total != Total::Repeats || repeats_are_exact(&plan)) {
            prop_assert_eq!(
                total.measured(report),
                Some(total.predicted(prediction)),
                "{:?}: {:?}",
                total,
                measured.reason
            );
        }
        prop_assert_eq!(report.booked_minor(), Some(prediction.booked_total.0));
        prop_assert_eq!(report.exposures, Some(prediction.exposures));
        prop_assert_eq!(report.count(Anomaly::Mismatched), prediction.mismatched);
        prop_assert_eq!(record.forwarded, prediction.forwarded);
        prop_assert_eq!(&record.faults, &prediction.faults);
        let doubts: Vec<_> = report.doubts.iter().filter(|(doubt, _)| **doubt != Doubt::TooFewExposures).collect();
        prop_assert!(doubts.is_empty(), "{:?}", doubts);
        Ok(())
    });
    if let Err(error) = held {
        panic!("{error}");
    }
}
