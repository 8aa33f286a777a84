//! The binary as a user runs it: exit codes, what is on which stream, refusals by field.

use std::{
    fs,
    io::{BufRead as _, BufReader},
};

use serde_json::Value;

use crate::support::binary::{Running, ask, command, experiment, paylab, printed, text};

#[test]
fn exit_codes_say_whether_the_verdict_is_the_expected_one() {
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
fn every_error_of_a_file_has_a_line_with_its_field() {
    let spec = "{claim: Twice, payments: {count: 0}, faults: [{name: a, probability: 2, reset: {at: Connect}}]}";
    let output = paylab(&["run", "-"], &experiment(spec));
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(64), String::new()));
    let lines: Vec<_> = text(&output.stderr).lines().map(str::to_owned).collect();
    assert_eq!(
        lines,
        [
            r#"-: spec.claim: "Twice" is not allowed; use "AtMostOnce", "AtLeastOnce", "ExactlyOnce", "ExactTotal""#,
            "-: spec.faults[0].probability: 2 is too large; at most 1 is allowed",
            "-: spec.payments.count: 0 is too small; at least 1 is allowed",
        ]
    );
    let service = "{replicas: 2, database: {secretKeyRef: {name: ledger, key: url}}}";
    let replicas = paylab(&["run", "-"], &experiment(&format!("{{claim: ExactlyOnce, service: {service}}}")));
    assert_eq!(replicas.status.code(), Some(64));
    assert!(text(&replicas.stderr).starts_with("-: spec.service.replicas: 2 replicas need one database"));
}

#[test]
fn a_prediction_says_what_it_depends_on_besides_the_seed() {
    let spec =
        "{claim: ExactlyOnce, client: {hedge: 2, idempotencyKey: PerPayment}, service: {dedup: CheckThenInsert}}";
    let output = paylab(&["predict", "-"], &experiment(spec));
    assert!(text(&output.stdout).contains("depends on which of two requests at once is faster"));
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
fn the_reset_proxy_takes_toxiproxys_command_line_and_ends_cleanly() {
    let config = tempfile::NamedTempFile::new().unwrap();
    fs::write(&config, r#"[{"name": "redis", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"}]"#).unwrap();
    let file = config.path().to_str().unwrap();
    let line = ["reset-proxy", "-host", "127.0.0.1", "-port=0", "-seed", "-7", "-config", file, "-proxy-metrics"];
    let mut proxy = Running::start(command(&line).env("LOG_LEVEL", "info"));
    let port = proxy.logged("reset proxy ready", "control");
    let answer = ask(&format!("127.0.0.1:{port}"), "GET /proxies HTTP/1.0\r\n\r\n");
    assert!(answer.contains(r#"{"redis":{"name":"redis","#), "{answer}");
    assert_eq!(proxy.terminate().0, Some(0));
    fs::write(&config, r#"[{"name": "redis"}]"#).unwrap();
    let refused = paylab(&["reset-proxy", "-port", "0", "-config", file], "");
    let expected = format!("paylab: --config {file}: missing required field: upstream at proxy 1\n");
    assert_eq!((refused.status.code(), text(&refused.stderr)), (Some(64), expected));
}

#[test]
fn serve_starts_the_lesson_by_hand_and_its_log_has_the_level_of_toxiproxys_variable() {
    let ports =
        ["serve", "--service-port", "0", "--proxy-port", "0", "--port", "0", "--page-port", "0", "--name", "shop"];
    for (level, is_silent) in [("error", true), ("info", false)] {
        let mut lesson = Running::start(command(&ports).env("LOG_LEVEL", level));
        let mut lines = BufReader::new(lesson.child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let addresses: Vec<String> = lines
            .by_ref()
            .take(3)
            .map(|line| line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned())
            .collect();
        let [service, proxy, api] = addresses.try_into().unwrap();
        let body = r#"{"src":"bianca","dest":"marc","amount":"1"}"#;
        let head = format!("Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close", body.len());
        let pay = format!("POST /payments/ HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n{body}");
        assert!(ask(&proxy, &pay).starts_with("HTTP/1.1 200 "));
        let stats = ask(&service, "GET /stats HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert!(stats.ends_with("\r\n\r\n1.0"), "{stats}");
        let shown = ask(&api, "GET /proxies/shop HTTP/1.0\r\n\r\n");
        assert!(shown.contains(&format!(r#""listen":"{proxy}","upstream":"{service}","enabled":true"#)), "{shown}");
        let (code, log) = lesson.terminate();
        assert_eq!((code, log.is_empty()), (Some(0), is_silent), "{log:?}");
    }
}

#[test]
fn a_load_refuses_a_bad_file_as_run_does_and_reads_standard_input() {
    let bad = experiment("{claim: ExactlyOnce, colour: red, payments: {count: 0}}");
    for command in ["run", "load-job"] {
        let output = paylab(&[command, "-"], &bad);
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{command}: {errors}");
        let named = ["-: spec.colour: is not a known field", "-: spec.payments.count: 0 is too small"];
        assert!(named.iter().all(|error| errors.contains(error)), "{command}: {errors}");
    }
    assert_eq!(paylab(&["load-job", "/nowhere/x.yaml"], "").status.code(), Some(64));
}

#[test]
fn a_cluster_that_never_answers_does_not_hold_a_wait_longer_than_its_timeout() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let text = format!(
        "{{apiVersion: v1, kind: Config, clusters: [{{name: c, cluster: {{server: 'http://{}'}}}}], users: [], \
         contexts: [{{name: c, context: {{cluster: c, user: ''}}}}], current-context: c}}",
        silent.local_addr().unwrap()
    );
    std::fs::write(&kubeconfig, text).unwrap();
    let mut wait = command(&["wait", "lesson", "--timeout", "300ms"]);
    let output = wait.env("KUBECONFIG", &kubeconfig).output().unwrap();
    let printed = printed(&output);
    assert!(printed.contains("lesson has not ended within 300ms"), "{printed}");
}
