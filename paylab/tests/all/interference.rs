//! Somebody or something meddles with a real lab while its load runs: another sender, other rules, a second load, a restart of the
//! service. An honest path is then never `Violated`, and no path is ever `Upheld`.

use std::{sync::mpsc, thread, time::Duration};

use load_job::{Load, Progress};
use paylab::lab::{Database, Lab};
use paylab_core::{
    claim::Verdict,
    outcome::{Outcome, Setting},
    plan::Plan,
};
use paylab_part::contract::RULES_PATH;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::support::{
    binary::{Running, ask, command, try_ask},
    lesson_faults, plan,
    proxied::{execute, proxied, proxy},
};

/// The load is in its midst when it has made so many attempts: it makes at least 400.
const MIDST: u64 = 40;

/// The lesson with retries, slow enough that whatever begins in its midst ends before it.
fn lesson(dedup: &str) -> Plan {
    plan(json!({"payments": {"count": 400}, "client": {"idempotencyKey": "PerPayment", "concurrency": 4},
                "service": {"dedup": dedup, "processingTime": "5ms"}, "faults": lesson_faults()}))
}

/// Runs a load, and does something while it is in its midst.
fn meddle(load: &Load, meddling: impl FnOnce(&Load) + Send) -> Outcome {
    let (progress, shutdown) = (Progress::default(), CancellationToken::new());
    let report = thread::scope(|scope| {
        let (midst, is_midst) = mpsc::channel();
        let meddler = scope.spawn(move || {
            is_midst.recv().unwrap();
            meddling(load);
        });
        let report = Runtime::new().unwrap().block_on(async {
            let watching = async {
                while progress.attempts() < MIDST {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                midst.send(()).unwrap();
            };
            tokio::join!(load_job::execute(load, &progress, &shutdown), watching).0.unwrap()
        });
        meddler.join().unwrap();
        report
    });
    Outcome::of(&load.plan, report, Setting::default())
}

/// The same in a lab of its own.
fn meddle_in_a_lab(dedup: &str, meddling: impl FnOnce(&Load) + Send) -> Outcome {
    let (plan, run) = (lesson(dedup), "meddled".parse().unwrap());
    let lab = Lab::start(&plan, &run, &Database::Temporary).unwrap();
    let outcome = meddle(&lab.load(&plan, &run, 0), meddling);
    lab.stop().unwrap();
    outcome
}

/// What the verdict is when the same happens to a service that books once, and to one that books every request.
fn assert_doubted(reason: &str, meddling: impl Fn(&Load) + Send + Sync) {
    let honest = meddle_in_a_lab("UniqueKey", &meddling);
    assert_is(&honest, Verdict::Inconclusive, reason);
    assert_ne!(meddle_in_a_lab("None", &meddling).verdict, Verdict::Upheld, "{reason}");
}

fn assert_is(outcome: &Outcome, verdict: Verdict, reason: &str) {
    assert_eq!((outcome.verdict, outcome.reason.to_string().as_str()), (verdict, reason), "{:?}", outcome.report);
}

/// Pays one euro at this address. The header fields may name an attempt by its number, of which some are struck.
fn pay(address: &str, fields: impl Fn(u32) -> String) {
    let paid = (90..200).any(|attempt| is_paid(address, &fields(attempt)));
    assert!(paid, "all attempts were struck");
}

/// False if a fault of the proxy has struck the request.
fn is_paid(address: &str, fields: &str) -> bool {
    let body = r#"{"src": "bianca", "dest": "marc", "amount": "1.00"}"#;
    let length = body.len();
    let answer = try_ask(
        address,
        &format!(
            "POST /payments/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
             Connection: close\r\n{fields}\r\n{body}"
        ),
    );
    answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 20"))
}

/// Sends a request to the proxy's control port.
fn control(load: &Load, method: &str, path: &str, body: &Value) -> String {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close");
    let answer = ask(&load.control, &format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}"));
    assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn undisturbed_the_path_is_upheld_and_the_naive_one_is_not() {
    assert_is(&meddle_in_a_lab("UniqueKey", |_| {}), Verdict::Upheld, "ClaimHeld");
    assert_is(&meddle_in_a_lab("None", |_| {}), Verdict::Violated, "Duplicated");
}

#[test]
fn payments_of_somebody_else_through_the_proxy_are_a_doubt() {
    assert_doubted("Strangers", |load| pay(&load.proxy, |_| String::new()));
    // With the headers of the run, as another client of it would.
    assert_doubted("OtherSender", |load| {
        pay(&load.proxy, |attempt| format!("Paylab-Attempt: 399/{attempt}\r\nPaylab-Reference: meddled.399\r\n"));
    });
}

#[test]
fn payments_of_somebody_else_behind_the_proxy_are_a_doubt() {
    assert_doubted("RequestsDiffer", |load| pay(&load.service, |_| String::new()));
    assert_doubted("RequestsDiffer", |load| pay(&load.service, |_| "Paylab-Reference: meddled.399\r\n".to_owned()));
}

#[test]
fn other_rules_in_mid_run_are_a_doubt() {
    assert_doubted("RecordFlawed", |load| {
        let in_force: Value = serde_json::from_str(&control(load, "GET", RULES_PATH, &Value::Null)).unwrap();
        let mut rules = in_force["rules"].clone();
        (rules["run_id"], rules["lease_ms"]) = (json!("another"), json!(30_000));
        control(load, "PUT", RULES_PATH, &rules);
    });
    assert_doubted("RecordFlawed", |load| drop(control(load, "DELETE", RULES_PATH, &Value::Null)));
}

#[test]
fn a_second_load_of_the_run_ends_with_an_error_and_does_not_disturb_the_first() {
    let begin_again = |load: &Load| {
        let error = execute(load).unwrap_err().to_string();
        assert!(error.contains("already holds") && error.contains("of run meddled"), "{error}");
    };
    assert_is(&meddle_in_a_lab("UniqueKey", begin_again), Verdict::Upheld, "ClaimHeld");
    assert_is(&meddle_in_a_lab("None", begin_again), Verdict::Violated, "Duplicated");
}

#[test]
fn a_service_that_is_killed_and_started_again_in_mid_run_is_a_doubt() {
    for dedup in ["UniqueKey", "None"] {
        let folder = tempfile::tempdir().unwrap();
        let database = format!("sqlite:{}", folder.path().join("ledger.db").display());
        let start = |port: u16| {
            let listen = format!("127.0.0.1:{port}");
            Running::start(&mut command(&[
                "payment-service",
                "--listen",
                &listen,
                "--database",
                &database,
                "--dedup",
                dedup,
            ]))
        };
        let mut first = start(0);
        let address = first.line("payment service ready").split_once("address=").unwrap().1.to_owned();
        let address: std::net::SocketAddr = address.split(' ').next().unwrap().parse().unwrap();
        let load = proxied(&lesson(dedup), address, proxy(address));
        let mut second = None;
        let outcome = meddle(&load, |_| {
            first.child.kill().unwrap();
            first.child.wait().unwrap();
            second = Some(start(address.port()));
        });
        second.unwrap().terminate();
        // What the service has counted began anew with it, so its ledger has more lines than it counts.
        assert_is(&outcome, Verdict::Inconclusive, "LedgerFlawed");
    }
}
