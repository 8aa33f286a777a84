//! The contract of a service that is not Paylab's: it proves itself before a load, and what does not hold is said with what came instead.

use std::{net::SocketAddr, process::Output, time::Duration};

use serde_json::{Value, json};

use crate::support::{
    binary::{self, Running, command, experiment, paylab, text},
    foreign::{Answer, CONTRACT, Request, Shop, honest, json_answer, list, pay, start},
};

/// An experiment of 60 payments that meets the lesson's faults, with further lines of the target.
fn file(further: &str) -> String {
    let spec = r#"
  claim: ExactlyOnce
  seed: 42
  payments: {count: 60}
  client: {idempotencyKey: PerPayment}
  faults:
    - {name: request-lost, probability: 0.3, reset: {at: BeforeRequest}}
    - {name: response-lost, probability: 0.3, reset: {at: BeforeResponse}}
  target:
    url: http://127.0.0.1:1"#;
    experiment(&format!("{spec}{CONTRACT}{further}"))
}

fn check_file(service: SocketAddr, file: &str) -> Output {
    paylab(&["check", "-", "--target", &format!("http://{service}")], file)
}

/// What `check` and `run` say about a service whose contract does not hold.
fn refused(answer: fn(&Request, &mut Shop) -> Answer) -> String {
    let output = check_file(start(answer), &file(""));
    assert_eq!(output.status.code(), Some(64), "{}", binary::printed(&output));
    let run = run_json(start(answer), &file(""), 2);
    assert_eq!((run["verdict"].clone(), run["attempts"]["total"].clone()), (json!("Inconclusive"), json!(0)), "{run}");
    let told = format!("{}{}", text(&output.stdout), text(&output.stderr));
    format!("{}\n{told}", run["reason"].as_str().unwrap())
}

fn run_json(service: SocketAddr, file: &str, exit: i32) -> Value {
    let output = paylab(&["run", "-", "--target", &format!("http://{service}"), "--output", "json"], file);
    assert_eq!(output.status.code(), Some(exit), "{}", binary::printed(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn an_honest_service_is_checked_in_five_steps_and_upheld_with_the_predicted_totals() {
    let service = start(honest);
    let output = check_file(service, &file(""));
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", binary::printed(&output));
    assert_eq!((told.matches("  holds  ").count(), told.matches("  -      ").count()), (2, 3), "{told}");
    assert!(told.contains("answer: 200, acknowledged as a repeat by answers[0], named 0"), "{told}");
    // With a model the totals are predicted, and a difference would be a finding. The service already holds the payments of the check.
    let status = run_json(service, &file("    model: UniqueKey\n"), 0);
    let count = |group: &str, name: &str| status[group][name].as_u64().unwrap();
    assert_eq!(
        (status["verdict"].clone(), count("payments", "booked"), count("payments", "lost")),
        (json!("Upheld"), 60, 0)
    );
    assert_eq!(count("attempts", "total"), status["prediction"]["exact"]["attempts"].as_u64().unwrap(), "{status}");
    assert_eq!(status["lab"].get("findings"), None, "{status}");
    // The same without a model predicts nothing.
    let status = run_json(start(honest), &file(""), 0);
    assert_eq!((status["verdict"].clone(), status["prediction"].get("exact")), (json!("Upheld"), None), "{status}");
}

#[test]
fn services_that_break_the_claim_are_violated_with_their_class() {
    fn forgetful(request: &Request, shop: &mut Shop) -> Answer {
        shop.booked.iter_mut().for_each(|(key, _, _)| key.clear());
        honest(request, shop)
    }
    fn renaming(request: &Request, shop: &mut Shop) -> Answer {
        match honest(request, shop) {
            (200, headers, body) if request.method == "POST" => (200, headers, body.replace("\"id\":", "\"id\":9")),
            other => other,
        }
    }
    fn lossy(request: &Request, shop: &mut Shop) -> Answer {
        let (status, headers, body) = honest(request, shop);
        if status == 201 && shop.booked.len() % 20 == 13 {
            shop.booked.last_mut().unwrap().1 = "lost".to_owned();
        }
        (status, headers, body)
    }
    fn cheaper(request: &Request, shop: &mut Shop) -> Answer {
        let answer = honest(request, shop);
        if shop.booked.len() == 30 {
            shop.booked.last_mut().unwrap().2 = 99;
        }
        answer
    }
    for (answer, class) in [
        (forgetful as fn(&Request, &mut Shop) -> Answer, "Duplicated"),
        (lossy, "AcknowledgedButLost"),
        (cheaper, "Mismatched"),
    ] {
        let status = run_json(start(answer), &file(""), 1);
        assert_eq!(
            (status["verdict"].clone(), status["reason"].clone()),
            (json!("Violated"), json!(class)),
            "{status}"
        );
    }
    // A client that stops at its first acknowledgement sees one name only.
    let hedged = file("").replace("idempotencyKey", "hedge: 2, idempotencyKey");
    assert_eq!(run_json(start(renaming), &hedged, 1)["reason"], json!("UnstableReplay"));
}

#[test]
fn a_ledger_of_which_a_page_is_not_read_convicts_nobody() {
    /// The newest first, and only so many.
    fn newest(request: &Request, shop: &mut Shop) -> Answer {
        if request.method == "POST" {
            return pay(request, shop);
        }
        let newest = Shop { booked: shop.booked.iter().rev().take(20).cloned().collect(), ..Shop::default() };
        list(request, &newest)
    }
    fn oldest(request: &Request, shop: &mut Shop) -> Answer {
        let (status, headers, body) = honest(request, shop);
        (status, headers, body.replace("\"next\"", "\"other\""))
    }
    for service in [newest as fn(&Request, &mut Shop) -> Answer, oldest] {
        let status = run_json(start(service), &file(""), 2);
        assert_eq!(
            (&status["verdict"], &status["reason"]),
            (&json!("Inconclusive"), &json!("LedgerFlawed")),
            "{status}"
        );
        assert!(status["message"].as_str().unwrap().contains("is a page of it not read"), "{status}");
    }
}

#[test]
fn a_service_that_is_busy_for_a_moment_is_asked_again() {
    fn busy(request: &Request, shop: &mut Shop) -> Answer {
        shop.asked += 1;
        if shop.asked % 3 == 1 { json_answer(429, &json!({})) } else { honest(request, shop) }
    }
    assert_eq!(run_json(start(busy), &file(""), 0)["verdict"], json!("Upheld"));
}

#[test]
fn a_check_that_is_interrupted_ends_the_service() {
    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(script.path(), "import os, socket, time\ns = socket.socket()\ns.bind(('127.0.0.1', int(os.environ['PORT'])))\ns.listen()\nopen(os.environ['PID_FILE'], 'w').write(str(os.getpid()))\ntime.sleep(600)\n").unwrap();
    let (experiment, id_file) = (tempfile::NamedTempFile::new().unwrap(), script.path().with_extension("pid"));
    std::fs::write(experiment.path(), file("")).unwrap();
    let mut check = command(&["check"]);
    check.arg(experiment.path()).arg("--target-command").arg(format!("exec python3 {}", script.path().display()));
    let mut running = Running::start(check.env("PID_FILE", &id_file));
    running.line("waiting for the service or for its ledger");
    running.signal("INT");
    let (code, log) = running.end();
    assert_eq!((code, log.iter().any(|line| line.contains("interrupted"))), (Some(2), true), "{log:?}");
    let id = std::fs::read_to_string(&id_file).unwrap();
    let state = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z ") || state.contains(") X "), "the service still runs: {state}");
    std::fs::remove_file(id_file).unwrap();
}

/// Lists only what was booked a while ago.
fn list_late(request: &Request, shop: &Shop) -> Answer {
    let visible = shop.since.iter().filter(|since| since.elapsed() >= Duration::from_millis(300)).count();
    list(request, &Shop { booked: shop.booked[..visible].to_vec(), ..Shop::default() })
}

#[test]
fn a_ledger_that_is_late_convicts_nobody_and_hides_nothing() {
    fn honest_but_late(request: &Request, shop: &mut Shop) -> Answer {
        if request.method == "POST" { pay(request, shop) } else { list_late(request, shop) }
    }
    fn forgetful_and_late(request: &Request, shop: &mut Shop) -> Answer {
        shop.booked.iter_mut().for_each(|(key, _, _)| key.clear());
        honest_but_late(request, shop)
    }
    let patient = file("").replace("within: 400ms", "within: 10s");
    assert_eq!(run_json(start(honest_but_late), &patient, 0)["verdict"], json!("Upheld"));
    let twice = run_json(start(forgetful_and_late), &patient, 1);
    assert_eq!(twice["reason"], json!("Duplicated"));
    // As many as there are when nothing is late.
    let prompt = run_json(
        start(|request, shop| {
            shop.booked.iter_mut().for_each(|(key, _, _)| key.clear());
            honest(request, shop)
        }),
        &patient,
        1,
    );
    assert_eq!(twice["payments"]["duplicated"], prompt["payments"]["duplicated"]);
}

#[test]
fn several_workers_each_prove_the_contract_and_share_the_payments() {
    let file = file("").replace("idempotencyKey", "workers: 3, idempotencyKey");
    let status = run_json(start(honest), &file, 0);
    assert_eq!((&status["verdict"], &status["payments"]["booked"]), (&json!("Upheld"), &json!(60)), "{status}");
}

#[test]
fn a_worker_that_pays_longer_does_not_unsettle_the_ledger_of_the_others() {
    const PAUSE: Duration = Duration::from_millis(100);
    /// The payments of the last worker are booked one after another, with a pause before each.
    fn slow_for_the_last(request: &Request, shop: &mut Shop) -> Answer {
        let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
        let payment = body["reference"].as_str().and_then(|it| it.rsplit_once('-')?.1.parse::<u64>().ok());
        let is_soon = shop.since.last().is_some_and(|last| last.elapsed() < PAUSE);
        if payment.is_some_and(|payment| payment >= 40) && is_soon {
            return json_answer(503, &json!({}));
        }
        honest(request, shop)
    }
    let retry = "workers: 3, retry: {stuckAfter: 1000, backoff: {base: 10ms, cap: 50ms}}, idempotencyKey";
    let file =
        file("").replace("idempotencyKey", retry).replace("quiet: 20ms, within: 400ms", "quiet: 250ms, within: 600ms");
    let status = run_json(start(slow_for_the_last), &file, 0);
    assert_eq!((&status["verdict"], &status["payments"]["booked"]), (&json!("Upheld"), &json!(60)), "{status}");
}

#[test]
fn a_place_on_a_cluster_is_refused_here_with_what_replaces_it() {
    for (field, place) in [("service", "{name: shop, port: 80}"), ("image", "{image: \"shop:1\", port: 80}")] {
        let file = file("    model: UniqueKey\n").replace("url: http://127.0.0.1:1", &format!("{field}: {place}"));
        for command in ["run", "check"] {
            let output = paylab(&[command, "-"], &file);
            assert_eq!(output.status.code(), Some(64), "{}", binary::printed(&output));
            let told = text(&output.stderr);
            let sentence = format!(
                "spec.target.{field}: exists on a cluster only; say where the service is here with --target URL"
            );
            assert!(told.contains(&sentence) && told.contains("--target-command"), "{told}");
        }
        // These pay nobody.
        for command in [&["predict", "-"][..], &["explain", "-", "3"]] {
            let output = paylab(command, &file);
            assert_eq!(output.status.code(), Some(0), "{}", binary::printed(&output));
        }
        assert_eq!(run_json(start(honest), &file, 0)["verdict"], json!("Upheld"), "{field}");
    }
}

#[test]
fn a_ledger_that_would_show_no_duplicate_proves_nothing() {
    fn blind(request: &Request, shop: &mut Shop) -> Answer {
        let (status, headers, body) = honest(request, shop);
        let mut page: Value = serde_json::from_str(&body).unwrap();
        if let Some(data) = page["data"].as_array_mut() {
            data.dedup();
        }
        (status, headers, page.to_string())
    }
    let told = refused(blind);
    assert!(told.starts_with("ControlNotDetected") && told.contains("say control: {reference: new}"), "{told}");
    // A service that takes each reference once has a control of its own.
    let output = check_file(start(blind), &file("    control: {reference: new}\n"));
    assert_eq!(output.status.code(), Some(0), "{}", binary::printed(&output));
}

#[test]
fn a_target_that_is_not_as_agreed_is_told_in_a_sentence() {
    fn ledger(request: &Request, shop: &mut Shop, answer: impl Fn() -> Answer) -> Answer {
        if request.method == "POST" { pay(request, shop) } else { answer() }
    }
    type Service = fn(&Request, &mut Shop) -> Answer;
    let services: [(Service, &str); 9] = [
        (
            |_, _| json_answer(400, &json!({"error": "no such currency"})),
            "400 ({\\\"error\\\":\\\"no such currency\\\"}), refused by HTTP, because no rule matches it",
        ),
        (|_, _| json_answer(503, &json!({})), "503 ({}), to be tried again by HTTP, because no rule matches it"),
        (
            |request, shop| ledger(request, shop, || (302, "Location: /elsewhere\r\n".into(), String::new())),
            "GET /payments: the answer was 302: it redirects to /elsewhere; name that place in spec.target",
        ),
        (
            |request, shop| ledger(request, shop, || json_answer(401, &json!({}))),
            "the answer was 401: it asks for credentials; put them into spec.target.headers",
        ),
        (
            |request, shop| ledger(request, shop, || (200, String::new(), "<html>".into())),
            "the answer is not JSON (expected value at line 1 column 1): <html>",
        ),
        (
            |request, shop| ledger(request, shop, || json_answer(200, &json!({"data": [], "next": "/payments"}))),
            "the list leads in a circle: its next page /payments was read before",
        ),
        (|request, shop| ledger(request, shop, || json_answer(200, &json!({"data": []}))), "no entry in the ledger"),
        (
            |request, shop| ledger(request, shop, || json_answer(200, &json!({"error": "x"}))),
            "a page has no items at $.data[*] and no empty list either",
        ),
        (
            |request, shop| {
                let answer = list(request, shop);
                if request.method == "POST" {
                    pay(request, shop);
                    shop.booked[0].2 += 1;
                    json_answer(201, &json!({}))
                } else {
                    answer
                }
            },
            "1 entry of 1.01 EUR",
        ),
    ];
    for (service, expected) in services {
        let told = refused(service);
        assert!(told.starts_with("ContractNotProven") && told.contains(expected), "{expected}\n{told}");
    }
}

#[test]
fn a_target_that_is_down_is_told_and_not_waited_for() {
    let output = paylab(&["run", "-", "--target", "http://127.0.0.1:1"], &file(""));
    assert_eq!(output.status.code(), Some(2), "{}", binary::printed(&output));
    let told = text(&output.stdout);
    assert!(told.contains("nothing answers (127.0.0.1:1)") && told.contains("start the service"), "{told}");
}

#[test]
fn secrets_come_from_the_environment_and_are_in_nothing_that_is_printed() {
    fn echoing(request: &Request, shop: &mut Shop) -> Answer {
        match request.header("Authorization") {
            Some("Bearer hunter2") if request.method == "GET" => list(request, shop),
            authorization => json_answer(403, &json!({"refused": authorization})),
        }
    }
    let in_header = "    headers: {Authorization: \"Bearer {secret.shop_token}\"}\n";
    let (address, file) =
        (start(echoing), file(in_header).replace("get: /payments", "get: \"/payments?token={secret.shop_token}\""));
    let missing = check_file(address, &file);
    let told = text(&missing.stderr);
    assert_eq!(missing.status.code(), Some(64), "{told}");
    assert!(
        told.contains("spec.target: uses {secret.shop_token}, and the variable PAYLAB_SECRET_SHOP_TOKEN is not set"),
        "{told}"
    );
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), file).unwrap();
    for arguments in [&["check"][..], &["run"], &["run", "--output", "json"]] {
        let mut run = command(arguments);
        run.arg(path.path()).args(["--target", &format!("http://{address}")]);
        let output = run.env("PAYLAB_SECRET_SHOP_TOKEN", "hunter2").output().unwrap();
        let told = binary::printed(&output);
        assert!(told.contains("Bearer (secret)") && !told.contains("hunter2"), "{told}");
    }
}

#[test]
fn a_secret_in_the_path_of_the_ledger_is_not_printed_with_it() {
    fn without_ledger(request: &Request, shop: &mut Shop) -> Answer {
        if request.method == "POST" { pay(request, shop) } else { json_answer(404, &json!({"asked": request.path})) }
    }
    let experiment = tempfile::NamedTempFile::new().unwrap();
    let by_token = file("").replace("get: /payments", "get: \"/payments?token={secret.token}\"");
    std::fs::write(experiment.path(), by_token).unwrap();
    let url = format!("http://{}", start(without_ledger));
    for arguments in [&["check"][..], &["run"], &["run", "--output", "json"]] {
        let mut run = command(arguments);
        run.arg(experiment.path()).args(["--target", &url]);
        let told = binary::printed(&run.env("PAYLAB_SECRET_TOKEN", "hunter2/&").output().unwrap());
        assert!(told.contains("GET /payments?token=(secret): the answer was 404"), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
fn a_command_that_starts_the_service_is_waited_for_and_ended() {
    let python = r#"
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.send_error(402)
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;
    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(script.path(), python).unwrap();
    let start = format!("python3 {} & echo $! > {0}.pid; wait", script.path().display());
    let output = paylab(&["check", "-", "--target-command", &start], &file(""));
    assert!(text(&output.stdout).contains("answer: 402"), "{}", binary::printed(&output));
    let id = std::fs::read_to_string(format!("{}.pid", script.path().display())).unwrap();
    // A process that has ended stays in the table until its new parent looks after it.
    let state = std::fs::read_to_string(format!("/proc/{}/stat", id.trim())).unwrap_or_default();
    assert!(
        state.is_empty() || state.contains(") Z ") || state.contains(") X "),
        "the child of the shell still runs: {state}"
    );
    std::fs::remove_file(format!("{}.pid", script.path().display())).unwrap();
    let ended = paylab(&["check", "-", "--target-command", "echo no such app; exit 3"], &file(""));
    let told = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(64), "{told}");
    assert!(told.contains("it ended before anything answered") && told.contains("no such app"), "{told}");
}

#[test]
fn options_about_a_target_are_refused_where_there_is_none() {
    for arguments in [["run", "-"], ["check", "-"]] {
        let output = paylab(
            &[&arguments[..], &["--target", "http://127.0.0.1:1"]].concat(),
            &experiment("{claim: AtLeastOnce}"),
        );
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{told}");
        assert!(
            told.contains(
                "spec.target: is absent, so that --target, --target-command and --ledger-url have no meaning"
            ),
            "{told}"
        );
    }
    let output = paylab(&["check", "-"], &experiment("{claim: AtLeastOnce}"));
    assert!(
        text(&output.stderr).contains("spec.target: is absent; only the contract of your own service can be checked")
    );
    let both = file("").replace("  target:\n", "  service: {dedup: UniqueKey}\n  target:\n");
    let told = text(&paylab(&["run", "-"], &both).stderr);
    assert!(told.contains("spec.service: is Paylab's own service, and spec.target names another one"), "{told}");
}
