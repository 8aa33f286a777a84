//! The service dies at a point of a request and is started again: the modes that are correct lose nothing, and each broken mode is caught
//! as its description says. Late repeats, answers that fail after the booking, and replicas tell the others apart.

use std::{
    fs,
    process::Output,
    time::{Duration, Instant},
};

use paylab_testbed::{Durability, postgres};
use serde_json::{Value, json};

use crate::support::binary::{command, experiment, printed, text};

/// Runs a spec on this machine, with further arguments.
fn run_with(spec: &Value, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.yaml");
    fs::write(&file, experiment(&spec.to_string())).unwrap();
    let all = [&["run", file.to_str().unwrap(), "--output", "json"], arguments].concat();
    command(&all).output().unwrap()
}

fn run(spec: &Value) -> Value {
    outcome(&run_with(spec, &[]))
}

fn outcome(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", printed(output)))
}

/// A plan that can be predicted: one payment at a time, and half of them meet a kill.
fn killed(dedup: &str, kill: &Value) -> Value {
    json!({
        "claim": "ExactlyOnce", "seed": 42, "minExposures": 0, "payments": {"count": 12},
        "client": {"idempotencyKey": "PerPayment", "concurrency": 1},
        "service": {"dedup": dedup, "processingTime": "450ms"},
        "faults": [{"name": "killed", "probability": 0.5, "attempts": [1], "kill": kill}],
    })
}

/// The verdict's reason, and how many of the payments it is about; every number is the predicted one.
fn predicted(outcome: &Value) -> String {
    assert_eq!(outcome["findings"], json!([]), "{outcome:#}");
    assert_eq!(outcome["doubts"], json!([]), "{outcome:#}");
    assert_eq!(outcome["prediction"]["dependsOn"], Value::Null, "{outcome:#}");
    assert!(outcome["faults"][0]["effective"].as_u64().unwrap() > 3, "{outcome:#}");
    outcome["reason"].as_str().unwrap().to_owned()
}

#[test]
fn a_death_after_the_answer_tells_what_a_mode_remembers() {
    let reasons = ["None", "UniqueKey", "Replay", "CheckThenInsert", "Memory", "KeyThenApply", "ApplyThenKey"]
        .map(|dedup| format!("{dedup} {}", predicted(&run(&killed(dedup, &json!({"at": "BeforeResponse"}))))));
    let expected = [
        "None Duplicated",
        "UniqueKey ClaimHeld",
        "Replay ClaimHeld",
        "CheckThenInsert ClaimHeld",
        "Memory Duplicated",
        "KeyThenApply ClaimHeld",
        "ApplyThenKey ClaimHeld",
    ];
    assert_eq!(reasons, expected);
}

#[test]
fn a_death_in_the_middle_of_a_booking_tells_what_a_mode_commits_together() {
    let kill = json!({"at": "AfterRequest", "after": "150ms"});
    let reasons = ["None", "UniqueKey", "Replay", "CheckThenInsert", "Memory", "KeyThenApply", "ApplyThenKey"]
        .map(|dedup| format!("{dedup} {}", predicted(&run(&killed(dedup, &kill)))));
    let expected = [
        "None ClaimHeld",
        "UniqueKey ClaimHeld",
        "Replay ClaimHeld",
        "CheckThenInsert ClaimHeld",
        "Memory ClaimHeld",
        "KeyThenApply AcknowledgedButLost",
        "ApplyThenKey Duplicated",
    ];
    assert_eq!(reasons, expected);
}

#[test]
fn a_death_after_an_acknowledgement_loses_what_is_only_in_memory() {
    let kill = json!({"at": "AfterResponse"});
    let lost = run(&killed("AckThenApply", &kill));
    assert_eq!((&lost["reason"], &lost["doubts"]), (&json!("AcknowledgedButLost"), &json!([])), "{lost:#}");
    for dedup in ["None", "UniqueKey", "Replay"] {
        assert_eq!(predicted(&run(&killed(dedup, &kill))), "ClaimHeld", "{dedup}");
    }
}

#[test]
fn what_was_in_flight_at_a_death_is_no_doubt_and_no_loss() {
    for dedup in ["UniqueKey", "Replay"] {
        let mut spec = killed(dedup, &json!({"at": "BeforeResponse"}));
        spec["payments"]["count"] = json!(100);
        spec["client"]["concurrency"] = json!(8);
        spec["service"]["processingTime"] = json!("5ms");
        spec["faults"][0]["probability"] = json!(0.2);
        let outcome = run(&spec);
        assert_eq!((&outcome["verdict"], &outcome["doubts"]), (&json!("Upheld"), &json!([])), "{outcome:#}");
        let depends = outcome["prediction"]["dependsOn"].as_str().unwrap();
        assert!(depends.contains("which other requests are in flight"), "{depends}");
    }
}

#[test]
fn the_example_of_a_killed_service_loses_what_was_acknowledged() {
    let output = command(&["run", "examples/killed.yaml", "--output", "json"]).output().unwrap();
    let outcome = outcome(&output);
    assert_eq!((output.status.code(), &outcome["reason"]), (Some(0), &json!("AcknowledgedButLost")), "{outcome:#}");
}

#[test]
fn the_record_says_of_every_kill_when_it_was_ordered_dead_and_serving() {
    let folder = tempfile::tempdir().unwrap();
    let evidence = folder.path().join("evidence");
    let ran =
        run_with(&killed("UniqueKey", &json!({"at": "BeforeResponse"})), &["--evidence", evidence.to_str().unwrap()]);
    assert_eq!(ran.status.code(), Some(0), "{}", printed(&ran));
    let attempts = zstd_lines(&evidence.join("attempts.ndjson.zst"));
    let kills: Vec<_> = attempts.iter().filter_map(kill_of).collect();
    let effective = outcome(&ran)["faults"][0]["effective"].as_u64().unwrap();
    assert_eq!(kills.len() as u64, effective);
    for kill in kills {
        let [ordered, dead, serving] = ["ordered_us", "dead_us", "serving_us"].map(|time| kill[time].as_u64().unwrap());
        assert!(ordered <= dead && dead < serving, "{kill}");
    }
}

/// The times of a kill, wherever a line has them.
fn kill_of(line: &Value) -> Option<Value> {
    match line {
        Value::Object(fields) => match fields.get("kill") {
            Some(kill) if kill.is_object() => Some(kill.clone()),
            _ => fields.values().find_map(kill_of),
        },
        Value::Array(items) => items.iter().find_map(kill_of),
        _ => None,
    }
}

fn zstd_lines(path: &std::path::Path) -> Vec<Value> {
    let text = zstd::decode_all(fs::File::open(path).unwrap()).unwrap();
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// A service of the user's own, which is Paylab's under another command line.
fn target() -> Value {
    json!({
        "claim": "ExactTotal", "seed": 42, "minExposures": 0, "payments": {"count": 20},
        "client": {"idempotencyKey": "PerPayment", "concurrency": 1},
        "target": {
            "url": "http://127.0.0.1:9", "model": "UniqueKey",
            "pay": {"post": "/payments/", "json": {"src": "{from}", "dest": "{to}", "amount": "{amount.decimal}"},
                "headers": {"Idempotency-Key": "{key}"},
                "answers": [{"status": [208], "means": "Repeat"}]},
            "ledger": {"total": {"get": "/stats", "major": "$"}},
        },
        "faults": [{"name": "killed", "probability": 0.4, "kill": {"at": "BeforeResponse"}}],
    })
}

/// The command of that service.
fn service(ledger: &std::path::Path) -> String {
    let program = env!("CARGO_BIN_EXE_paylab");
    format!(
        "{program} payment-service --dedup UniqueKey --database sqlite:{} --listen 127.0.0.1:$PORT",
        ledger.display()
    )
}

#[test]
fn a_service_of_ones_own_is_killed_and_started_again_by_its_command() {
    let folder = tempfile::tempdir().unwrap();
    let output = run_with(&target(), &["--target-command", &service(&folder.path().join("ledger.db"))]);
    let outcome = outcome(&output);
    assert_eq!((&outcome["verdict"], &outcome["doubts"]), (&json!("Upheld"), &json!([])), "{outcome:#}");
    assert!(outcome["faults"][0]["effective"].as_u64().unwrap() > 3, "{outcome:#}");
}

#[test]
fn a_death_that_nobody_has_ordered_stays_a_doubt() {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = target();
    spec["payments"]["count"] = json!(100_000);
    spec["activeDeadline"] = json!("20s");
    spec["faults"][0]["probability"] = json!(0.0001);
    // The service ends by itself while it is paid.
    let dying = format!("timeout -s KILL 2 {}", service(&folder.path().join("ledger.db")));
    let outcome = outcome(&run_with(&spec, &["--target-command", &dying]));
    assert_eq!(outcome["verdict"], "Inconclusive", "{outcome:#}");
}

#[test]
fn a_kill_or_replicas_that_this_machine_cannot_have_are_refused() {
    let refused = |output: &Output| {
        assert_eq!(output.status.code(), Some(64), "{}", printed(output));
        text(&output.stderr)
    };
    let mut unsupervised = target();
    unsupervised["target"]["url"] = json!("http://127.0.0.1:9000");
    let errors = refused(&run_with(&unsupervised, &[]));
    assert!(errors.contains("spec.faults[0].kill: needs somebody who can start the service again"), "{errors}");
    let errors = refused(&run_with(&unsupervised, &["--target", "http://127.0.0.1:9000"]));
    assert!(errors.contains("start it with --target-command"), "{errors}");
    let replicas = json!({"claim": "ExactlyOnce", "service": {"replicas": 2, "database": {"secretKeyRef": {"name": "a", "key": "b"}}}});
    let errors = refused(&run_with(&replicas, &[]));
    assert!(errors.contains("spec.service.replicas: 2 replicas need one database"), "{errors}");
    let mut both = killed("UniqueKey", &json!({"at": "BeforeResponse"}));
    both["service"]["replicas"] = json!(2);
    both["service"]["database"] = json!({"secretKeyRef": {"name": "a", "key": "b"}});
    let errors = refused(&run_with(&both, &[]));
    assert!(errors.contains("several replicas do not say which of them a kill"), "{errors}");
}

#[test]
fn a_late_repeat_finds_a_key_that_lives_too_shortly() {
    let late = |service: Value| {
        let spec = json!({
            "claim": "ExactlyOnce", "seed": 42, "minExposures": 0, "payments": {"count": 40},
            "client": {"idempotencyKey": "PerPayment", "redeliver": {"probability": 0.5, "after": "3s"}},
            "service": service,
        });
        let outcome = run(&spec);
        assert_eq!((&outcome["findings"], &outcome["doubts"]), (&json!([]), &json!([])), "{outcome:#}");
        assert_eq!(outcome["prediction"]["dependsOn"], Value::Null, "{outcome:#}");
        outcome["reason"].as_str().unwrap().to_owned()
    };
    assert_eq!(late(json!({"dedup": "Replay", "keyTtl": "1s"})), "Duplicated");
    assert_eq!(late(json!({"dedup": "Replay", "keyTtl": "10m"})), "ClaimHeld");
    assert_eq!(late(json!({"dedup": "UniqueKey"})), "ClaimHeld");
    assert_eq!(late(json!({"dedup": "None"})), "Duplicated");
}

#[test]
fn an_answer_that_fails_after_the_booking_is_asked_again_and_only_a_key_helps() {
    let failing = |dedup: &str, attempts: u32| {
        let spec = json!({
            "claim": "ExactlyOnce", "seed": 42, "minExposures": 0, "payments": {"count": 200},
            "client": {"idempotencyKey": "PerPayment", "retry": {"maxAttempts": attempts}},
            "service": {"dedup": dedup, "failAfter": 0.2},
        });
        let outcome = run(&spec);
        assert_eq!((&outcome["findings"], &outcome["doubts"]), (&json!([]), &json!([])), "{outcome:#}");
        assert!(outcome["answers"]["statuses"]["500"].as_u64().unwrap() > 20, "{outcome:#}");
        (
            outcome["reason"].as_str().unwrap().to_owned(),
            outcome["prediction"]["exact"]["bookedUnknown"].as_u64().unwrap(),
        )
    };
    assert_eq!(failing("None", 0).0, "Duplicated");
    assert_eq!(failing("UniqueKey", 0), ("ClaimHeld".to_owned(), 0));
    // A client that gives up after the answer has paid for what it takes for unpaid.
    let (reason, unknown) = failing("UniqueKey", 1);
    assert!(reason == "ClaimHeld" && unknown > 20, "{reason} {unknown}");
}

#[test]
fn a_ledger_that_died_with_its_service_is_not_waited_for() {
    // The shop keeps its payments in memory, and its ledger may take ten minutes to settle.
    let shop = ["--target-command", "python3 examples/targets/shop.py"];
    let file = fs::read_to_string("../examples/targets/shop.yaml").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let killed = folder.path().join("x.yaml");
    let kill = "{name: killed, probability: 0.2, kill: {at: BeforeResponse}}";
    let file = file.replace("{name: cut-at-once, probability: 0.3, reset: {at: AfterRequest}}", kill);
    fs::write(&killed, file + "      settle: {within: 10m}\n").unwrap();
    let arguments = [&["run", killed.to_str().unwrap(), "--output", "json"], &shop[..]].concat();
    let begun = Instant::now();
    let output = command(&arguments).output().unwrap();
    let (outcome, took) = (outcome(&output), begun.elapsed());
    assert_eq!((output.status.code(), &outcome["verdict"]), (Some(2), &json!("Inconclusive")), "{outcome:#}");
    let message = outcome["message"].as_str().unwrap();
    assert!(message.contains("does not show payments that were made before and after the load"), "{message}");
    assert!(took < Duration::from_secs(300), "{took:?}");
}

#[test]
fn two_replicas_have_two_memories_and_one_database() {
    let Some(database) = postgres(Durability::Fast) else { return };
    let replicated = |dedup: &str| {
        let spec = json!({
            "claim": "ExactlyOnce", "seed": 42, "payments": {"count": 200},
            "client": {"idempotencyKey": "PerPayment", "concurrency": 1},
            "service": {"dedup": dedup, "replicas": 2, "database": {"secretKeyRef": {"name": "a", "key": "b"}}},
            "faults": [{"name": "response-lost", "probability": 0.3, "reset": {"at": "BeforeResponse"}}],
        });
        let outcome = outcome(&run_with(&spec, &["--database", database.url()]));
        assert_eq!(outcome["doubts"], json!([]), "{outcome:#}");
        outcome["reason"].as_str().unwrap().to_owned()
    };
    assert_eq!(["Memory", "UniqueKey", "Replay"].map(replicated), ["Duplicated", "ClaimHeld", "ClaimHeld"]);
}

#[test]
fn postgresql_keeps_what_was_committed_when_the_service_dies() {
    let Some(database) = postgres(Durability::Fast) else { return };
    let reasons = ["UniqueKey", "Replay", "KeyThenApply"].map(|dedup| {
        let spec = killed(dedup, &json!({"at": "AfterRequest", "after": "150ms"}));
        predicted(&outcome(&run_with(&spec, &["--database", database.url()])))
    });
    assert_eq!(reasons, ["ClaimHeld", "ClaimHeld", "AcknowledgedButLost"]);
}
