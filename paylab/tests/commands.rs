//! The binary as a user meets it: exit codes, what is on which stream, refusals by field.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

fn paylab(arguments: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_paylab"))
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn experiment(spec: &str) -> String {
    format!("apiVersion: paylab.dev/v1alpha1\nkind: ChaosExperiment\nmetadata: {{name: test}}\nspec: {spec}\n")
}

#[test]
fn exit_codes_tell_what_became_of_the_expectation() {
    let lossy = "faults: [{name: lost, probability: 0.3, reset: {at: BeforeResponse}}]";
    for (spec, code) in [
        (format!("{{claim: ExactlyOnce, expect: Violated, seed: 1, {lossy}}}"), 0),
        (format!("{{claim: ExactlyOnce, expect: Upheld, seed: 1, {lossy}}}"), 1),
        ("{claim: ExactlyOnce, seed: 1, payments: {count: 10}}".to_owned(), 2),
        ("{claim: ExactlyOnce, sed: 1}".to_owned(), 64),
    ] {
        let output = paylab(&["run", "-"], &experiment(&spec));
        assert_eq!(output.status.code(), Some(code), "{spec}: {}{}", text(&output.stdout), text(&output.stderr));
    }
    assert_eq!(paylab(&["walk"], "").status.code(), Some(64));
    assert_eq!(paylab(&["run", "/nowhere.yaml"], "").status.code(), Some(64));
    let spec = experiment("{claim: ExactlyOnce, payments: {count: 10}}");
    let nowhere = paylab(&["run", "-", "--database", "postgres://nobody@127.0.0.1:1/none"], &spec);
    assert_eq!(nowhere.status.code(), Some(70), "{}", text(&nowhere.stderr));
}

#[test]
fn machines_get_one_object_with_the_fields_of_the_status_and_nothing_else() {
    let output = paylab(&["run", "examples/never-pay-too-little.yaml", "--output", "json"], "");
    assert_eq!(text(&output.stderr), "", "silent when piped");
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    let seen = [
        status["phase"].clone(),
        status["verdict"].clone(),
        status["observed"].clone(),
        status["reason"].clone(),
        status["ledger"]["booked"].clone(),
        status["ledger"]["difference"].clone(),
        status["prediction"]["exact"]["entries"].clone(),
        status["samples"][0]["payment"].clone(),
    ];
    let expected =
        serde_json::json!(["Completed", "Violated", "AtLeastOnce", "Duplicated", "1455.00", "455.00", 1455, 1]);
    assert_eq!(Value::Array(seen.to_vec()), expected);
}

#[test]
fn the_report_for_people_has_every_number_and_the_line_that_repeats_the_run() {
    let output = paylab(&["run", "examples/never-pay-too-little.yaml"], "");
    let report = text(&output.stdout);
    for line in [
        "VIOLATED ExactlyOnce: 329 of 1000 payments were booked more than once (+455.00 EUR); none lost; first: payment 1.",
        "This is what the experiment expects (expect: Violated).",
        "1455.00 EUR  of 1000.00 EUR intended   difference +455.00 EUR",
        "drawn 2079   fired 645   effective 455   (190 met an earlier fault)",
        "2079 connections = 2079 attempts   unintended resets 0   455 repeats exposed the claim",
        "payment 1: 7 attempts, 3 entries    payment 3: 5 attempts, 2 entries    payment 5: 8 attempts, 2 entries    326 more",
        "paylab run examples/never-pay-too-little.yaml --seed 42",
    ] {
        assert!(report.contains(line), "{line} is not in\n{report}");
    }
}

#[test]
fn every_fault_of_a_file_has_a_line_with_its_field() {
    let spec = "{claim: Twice, payments: {count: 0}, faults: [{name: a, probability: 2, reset: {at: Connect}}]}";
    let output = paylab(&["run", "-"], &experiment(spec));
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(64), String::new()));
    let lines: Vec<_> = text(&output.stderr).lines().map(str::to_owned).collect();
    assert_eq!(
        lines,
        [
            r#"-: spec.claim: "Twice" is not allowed; use "AtMostOnce", "AtLeastOnce", "ExactlyOnce""#,
            "-: spec.faults[0].probability: 2 is too large; at most 1 is allowed",
            "-: spec.payments.count: 0 is too small; at least 1 is allowed",
        ]
    );
    let replicas = paylab(&["run", "-"], &experiment("{claim: ExactlyOnce, service: {replicas: 2}}"));
    assert_eq!(replicas.status.code(), Some(64));
    assert!(text(&replicas.stderr).starts_with("-: spec.service.replicas: 2 needs a cluster"));
}

#[test]
fn what_cannot_be_predicted_is_said() {
    let spec =
        "{claim: ExactlyOnce, client: {hedge: 2, idempotencyKey: PerPayment}, service: {dedup: CheckThenInsert}}";
    let output = paylab(&["predict", "-"], &experiment(spec));
    assert!(text(&output.stdout).contains("depends on timing: which of two requests at once is faster"));
    let exact = paylab(&["predict", "examples/pay-exactly-once.yaml", "--output", "json"], "");
    let prediction: Value = serde_json::from_slice(&exact.stdout).unwrap();
    assert_eq!(prediction["exact"]["repeats"], 329);
    assert_eq!(prediction["theory"]["entries"]["mean"], "1000.0");
}

#[test]
fn one_payment_is_explained_as_a_diagram() {
    let output = paylab(&["explain", "examples/never-pay-too-little.yaml", "3"], "");
    let diagram = text(&output.stdout);
    assert!(diagram.starts_with("payment 3   5 attempts, 2 entries: DUPLICATED (+1.00 EUR)"), "{diagram}");
    assert!(diagram.contains("  4     |---- POST ------->|---- POST -------->|--- entry 1 ---->|"), "{diagram}");
    let beyond = paylab(&["explain", "examples/never-pay-too-little.yaml", "1000"], "");
    assert_eq!(beyond.status.code(), Some(64));
    assert!(text(&beyond.stderr).contains("use 0 to 999"));
}

#[test]
fn every_command_has_help_with_examples_and_every_shell_its_completions() {
    for command in ["run", "predict", "explain", "crd", "payment-service", "reset-proxy", "load-job", "completions"] {
        let help = paylab(&[command, "--help"], "");
        assert_eq!(help.status.code(), Some(0));
        assert!(text(&help.stdout).contains("Example"), "{command}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(text(&paylab(&["completions", shell], "").stdout).contains("paylab"));
    }
}

#[test]
fn a_ledger_file_stays_and_is_never_used_twice() {
    let directory = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", directory.path().join("ledger.db").display());
    let run = || paylab(&["run", "examples/pay-exactly-once.yaml", "--database", &database], "");
    assert_eq!(run().status.code(), Some(0));
    let again = run();
    assert_eq!(again.status.code(), Some(70));
    assert!(text(&again.stderr).contains("is already there; a run needs a ledger of its own"));
}
