//! The whole lab with one stream of evidence falsified, on real sockets: a ledger with lost or wrong bookings is `Violated`,
//! incomplete or inconsistent evidence is `Inconclusive`, and neither is ever `Upheld`.

use std::{sync::Arc, time::Duration};

use load_job::{Load, Progress};
use paylab::lab::{Database, Lab};
use paylab_core::{
    claim::Verdict,
    judge::report::Report,
    outcome::{Outcome, Setting},
    plan::Plan,
    run_id::RunId,
};
use paylab_part::contract::{LEDGER_PATH, RECORD_PATH};
use serde_json::{Value, json};
use tokio::{runtime::Runtime, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::support::{lesson_faults, liar, plan};

fn safe_lesson() -> Plan {
    plan(json!({"payments": {"count": 200}, "client": {"idempotencyKey": "PerPayment"},
                "service": {"dedup": "UniqueKey"}, "faults": lesson_faults()}))
}

/// Runs the safe lesson with a load that `change` has changed.
fn run(change: impl FnOnce(&mut Load)) -> Outcome {
    let (plan, run): (_, RunId) = (safe_lesson(), "lies".parse().unwrap());
    let lab = Lab::start(&plan, &run, &Database::Temporary).unwrap();
    let mut load = lab.load(&plan, &run, 0);
    change(&mut load);
    let report = execute(&load).unwrap();
    lab.stop().unwrap();
    conclude(&plan, report)
}

fn execute(load: &Load) -> Result<Report, load_job::Error> {
    let (progress, shutdown) = (Progress::default(), CancellationToken::new());
    Runtime::new().unwrap().block_on(load_job::execute(load, &progress, &shutdown))
}

fn with_ledger(change: impl Fn(&mut Vec<Value>) + Send + Sync + 'static) -> Outcome {
    run(|load| load.service = liar::in_front_of(&load.service, LEDGER_PATH, Arc::new(change)).to_string())
}

fn with_record(change: impl Fn(&mut Vec<Value>) + Send + Sync + 'static) -> Outcome {
    run(|load| load.control = liar::in_front_of(&load.control, RECORD_PATH, Arc::new(change)).to_string())
}

fn add_to_total(items: &mut [Value], minor: i64) {
    let footer = items.last_mut().unwrap();
    footer["footer"]["total_minor"] = json!(footer["footer"]["total_minor"].as_i64().unwrap() + minor);
}

/// The service counts one entry more, or one fewer, so that its count fits its lines.
fn add_to_booked(items: &mut [Value], entries: i64) {
    let booked = &mut items.last_mut().unwrap()["footer"]["counters"]["booked"];
    *booked = json!(booked.as_i64().unwrap() + entries);
}

fn conclude(plan: &Plan, report: Report) -> Outcome {
    Outcome::of(plan, report, Setting::default())
}

fn assert_is(outcome: &Outcome, verdict: Verdict, reason: &str) {
    assert_eq!((outcome.verdict, outcome.reason.to_string().as_str()), (verdict, reason), "{:?}", outcome.report);
}

#[test]
fn with_unchanged_evidence_the_path_is_upheld() {
    let unchanged = with_ledger(|_| {});
    assert_is(&unchanged, Verdict::Upheld, "ClaimHeld");
    assert_is(&with_record(|_| {}), Verdict::Upheld, "ClaimHeld");
}

#[test]
fn a_dropped_entry_is_a_violation() {
    let drop = with_ledger(|items| {
        items.remove(7);
        add_to_total(items, -100);
        add_to_booked(items, -1);
    });
    assert_is(&drop, Verdict::Violated, "AcknowledgedButLost");
}

#[test]
fn a_forged_entry_is_a_violation() {
    let forge = with_ledger(|items| {
        let mut forged = items[items.len() - 2].clone();
        forged["entry"]["id"] = json!(forged["entry"]["id"].as_i64().unwrap() + 1);
        forged["entry"]["reference"] = json!("lies.7000");
        items.insert(items.len() - 1, forged);
        add_to_total(items, 100);
        add_to_booked(items, 1);
    });
    assert_is(&forge, Verdict::Violated, "Phantom");
}

#[test]
fn a_doubled_entry_is_a_violation() {
    let double = with_ledger(|items| {
        let mut doubled = items[0].clone();
        doubled["entry"]["id"] = json!(items[items.len() - 2]["entry"]["id"].as_i64().unwrap() + 1);
        items.insert(items.len() - 1, doubled);
        add_to_total(items, 100);
        add_to_booked(items, 1);
    });
    assert_eq!(double.verdict, Verdict::Violated, "{:?}", double.report);
}

#[test]
fn a_changed_entry_is_a_violation() {
    let change = with_ledger(|items| {
        items[3]["entry"]["amount_minor"] = json!(99);
        add_to_total(items, -1);
    });
    assert_is(&change, Verdict::Violated, "Mismatched");
}

#[test]
fn a_ledger_without_its_footer_or_with_a_wrong_sum_proves_nothing() {
    let cut = with_ledger(|items| drop(items.pop()));
    assert_is(&cut, Verdict::Inconclusive, "LedgerFlawed");
    assert_is(&with_ledger(|items| add_to_total(items, 1)), Verdict::Inconclusive, "LedgerFlawed");
}

#[test]
fn a_record_without_a_request_or_with_other_coins_is_inconclusive() {
    let forget = with_record(|items| drop(items.remove(5)));
    assert_is(&forget, Verdict::Inconclusive, "AttemptsDiffer");
    let other = with_record(|items| items[5]["request"]["coins"][0] = json!("0000000000000000"));
    assert_is(&other, Verdict::Inconclusive, "CoinsDiffer");
    assert_is(&with_record(|items| drop(items.pop())), Verdict::Inconclusive, "RecordFlawed");
}

#[test]
fn a_load_that_stops_early_is_inconclusive() {
    let plan = plan(json!({"payments": {"count": 100_000}, "client": {"idempotencyKey": "PerPayment"},
                           "service": {"dedup": "UniqueKey"}, "faults": lesson_faults()}));
    let run: RunId = "early".parse().unwrap();
    let lab = Lab::start(&plan, &run, &Database::Temporary).unwrap();
    let (progress, stop) = (Progress::default(), CancellationToken::new());
    let load = lab.load(&plan, &run, 0);
    let report = Runtime::new().unwrap().block_on(async {
        let stopping = async {
            while progress.attempts() < 100 {
                sleep(Duration::from_millis(1)).await;
            }
            stop.cancel();
        };
        tokio::join!(load_job::execute(&load, &progress, &stop), stopping).0.unwrap()
    });
    let outcome = conclude(&plan, report);
    assert_is(&outcome, Verdict::Inconclusive, "LoadStopped");
}

#[test]
fn a_load_without_a_service_ends_with_a_clear_message_within_a_bounded_time() {
    let plan = plan(json!({"payments": {"count": 50}, "client": {"retry": {"maxAttempts": 5}}}));
    let run: RunId = "dead".parse().unwrap();
    let mut lab = Lab::start(&plan, &run, &Database::Temporary).unwrap();
    lab.stop_service().unwrap();
    let load = lab.load(&plan, &run, 0);
    let error = execute(&load).unwrap_err().to_string();
    assert!(
        error.contains("cannot read the ledger of the payment service") && error.contains(&load.service),
        "{error}"
    );
}
