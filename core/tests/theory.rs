//! What is expected over all seeds.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::json;

use paylab_core::theory::{Estimate, Theory};
use paylab_testbed::evidence::lesson;

fn theory(most: i32) -> Theory {
    Theory::of(&lesson(&json!({"client": {"retry": {"maxAttempts": most}}}))).unwrap()
}

fn shown(estimate: Estimate) -> String {
    format!("{:.1} {}..{}", estimate.mean, estimate.low, estimate.high)
}

#[test]
fn unlimited_retries_have_the_documented_numbers() {
    let Theory { attempts, entries, acknowledged, lost, duplicated, booked_unknown, repeats } = theory(0);
    let all = [attempts, entries, acknowledged, lost, duplicated, booked_unknown, repeats].map(shown);
    expect_test::expect![[r#"
        2040.8 1952..2133
        1428.6 1381..1478
        1000.0 1000..1000
        0.0 0..0
        300.0 272..329
        0.0 0..0
        0.0 0..0"#]]
    .assert_eq(&all.join("\n"));
}

#[test]
fn one_try_and_three_tries_have_the_documented_numbers() {
    let one = theory(1);
    let all = [one.attempts, one.entries, one.acknowledged, one.lost, one.duplicated, one.booked_unknown].map(shown);
    expect_test::expect![[r#"
        1000.0 1000..1000
        700.0 671..728
        490.0 459..521
        300.0 272..329
        0.0 0..0
        210.0 185..236"#]]
    .assert_eq(&all.join("\n"));
    let three = theory(3);
    let means = [three.attempts, three.lost, three.booked_unknown, three.duplicated]
        .map(|estimate| format!("{:.1}", estimate.mean));
    assert_eq!(means, ["1770.1", "27.0", "105.7", "235.2"]);
}

#[test]
fn a_dedup_that_holds_books_each_payment_once_and_repeats_are_acknowledged() {
    let changes = json!({"client": {"idempotencyKey": "PerPayment"}, "service": {"dedup": "UniqueKey"}});
    let theory = Theory::of(&lesson(&changes)).unwrap();
    let all = [theory.entries, theory.duplicated, theory.repeats].map(shown);
    assert_eq!(all, ["1000.0 1000..1000", "0.0 0..0", "300.0 272..329"]);
}

#[test]
fn there_is_no_theory_where_there_is_no_closed_form() {
    for changes in [
        json!({"client": {"hedge": 2}}),
        json!({"client": {"bodyDrift": "Amount"}}),
        json!({"faults": [{"name": "first", "probability": 1.0, "reset": {"at": "Connect"}, "attempts": [1]}]}),
    ] {
        assert_eq!(Theory::of(&lesson(&changes)), None, "{changes}");
    }
}

#[test]
fn without_faults_everything_is_certain() {
    let theory = Theory::of(&lesson(&json!({"faults": []}))).unwrap();
    assert_eq!(
        [theory.attempts, theory.entries, theory.lost].map(shown),
        ["1000.0 1000..1000", "1000.0 1000..1000", "0.0 0..0"]
    );
}
