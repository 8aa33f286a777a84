//! Answers and ledgers that are not as the contract says: what came instead is shown, and nothing is taken for what it is not.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::{
    binary::{command, experiment, printed, text},
    foreign::{Answer, CONTRACT, Request, Shop, honest, json_answer, list, pay, start},
};

type Service = fn(&Request, &mut Shop) -> Answer;

/// An experiment of 60 payments, of which some are repeated, by a client with a secret.
fn file() -> String {
    let spec = r#"
  claim: ExactlyOnce
  seed: 42
  payments: {count: 60}
  client: {idempotencyKey: PerPayment}
  faults: [{name: response-lost, probability: 0.3, reset: {at: BeforeResponse}}]
  target:
    url: http://127.0.0.1:1
    headers: {Authorization: "Bearer {secret.token}"}"#;
    experiment(&format!("{spec}{CONTRACT}"))
}

fn paylab(arguments: &[&str], service: Service, file: &str) -> Output {
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), file).unwrap();
    let mut paylab = command(arguments);
    paylab.arg(path.path()).args(["--target", &format!("http://{}", start(service))]);
    paylab.env("PAYLAB_SECRET_TOKEN", "hunter2").output().unwrap()
}

/// Everything that was printed, with single spaces.
fn told(output: &Output) -> String {
    printed(output).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_first_answer_without_a_rule_is_shown_with_its_head_and_without_secrets() {
    fn accepted(request: &Request, shop: &mut Shop) -> Answer {
        let (status, headers, body) = honest(request, shop);
        if request.method != "POST" {
            return (status, headers, body);
        }
        let token = request.header("Authorization").unwrap();
        (202, format!("{headers}X-Echo: {token}\r\n"), format!("accepted for {token}"))
    }
    let head = "X-Echo: Bearer (secret)";
    let check = told(&paylab(&["check"], accepted, &file()));
    assert!(
        check.contains(
            "202 (accepted for Bearer (secret)), acknowledged by HTTP, because no rule matches it; its head is: "
        ),
        "{check}"
    );
    let run = told(&paylab(&["run"], accepted, &file()));
    assert!(run.contains("no rule: ") && run.contains("(the first: 202 ["), "{run}");
    for told in [check, run] {
        assert!(told.contains(head) && !told.contains("hunter"), "{told}");
    }
    let json = paylab(&["run", "--output", "json"], accepted, &file());
    let status: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(status["answers"]["firstWithoutRule"]["text"], json!("accepted for Bearer (secret)"), "{status}");
}

#[test]
fn a_service_that_compresses_although_it_was_asked_not_to_is_told_and_not_judged() {
    const COMPRESSED: &str = "Content-Encoding: gzip\r\n";
    fn answers(request: &Request, shop: &mut Shop) -> Answer {
        assert_eq!(request.header("Accept-Encoding"), Some("identity"));
        let (status, headers, body) = honest(request, shop);
        if request.method == "POST" {
            (status, format!("{headers}{COMPRESSED}"), "\u{1f}".into())
        } else {
            (status, headers, body)
        }
    }
    fn ledger(request: &Request, shop: &mut Shop) -> Answer {
        if request.method == "POST" { pay(request, shop) } else { (200, COMPRESSED.into(), "\u{1f}".into()) }
    }
    /// From the tenth payment on.
    fn sometimes(request: &Request, shop: &mut Shop) -> Answer {
        if shop.booked.len() > 10 { answers(request, shop) } else { honest(request, shop) }
    }
    for (service, sentence) in [
        (answers as Service, "an answer is compressed (Content-Encoding), although Accept-Encoding: identity was sent"),
        (
            ledger,
            "GET /payments: the answer is compressed (Content-Encoding: gzip), although Accept-Encoding: identity was sent",
        ),
    ] {
        let check = paylab(&["check"], service, &file());
        assert_eq!((check.status.code(), told(&check).contains(sentence)), (Some(64), true), "{}", told(&check));
        let run = paylab(&["run"], service, &file());
        assert_eq!((run.status.code(), told(&run).contains(sentence)), (Some(2), true), "{}", told(&run));
    }
    let run = paylab(&["run"], sometimes, &file());
    assert_eq!(
        (run.status.code(), told(&run).contains("payments were not understood")),
        (Some(2), true),
        "{}",
        told(&run)
    );
}

#[test]
fn a_payment_that_is_not_found_is_told_with_what_stands_there_instead() {
    fn renamed(request: &Request, shop: &mut Shop) -> Answer {
        let (status, headers, body) = honest(request, shop);
        (status, headers, body.replace("\"reference\"", "\"ref\""))
    }
    let check = paylab(&["check"], renamed, &file());
    let said = text(&check.stderr);
    assert_eq!(check.status.code(), Some(64), "{said}");
    assert!(
        said.contains(
            "the first page has 1 item at $.data[*], but none has a reference at $.reference; the first item is {"
        ),
        "{said}"
    );
}

#[test]
fn a_booking_under_another_reference_is_told_where_the_list_grows_by_two() {
    fn shadowed(request: &Request, shop: &mut Shop) -> Answer {
        let before = shop.booked.len();
        let answer = honest(request, shop);
        if shop.booked.len() > before {
            shop.booked.push((String::new(), format!("shadow-{before}"), 100));
        }
        answer
    }
    let check = paylab(&["check"], shadowed, &file());
    let said = told(&check);
    assert_eq!(check.status.code(), Some(0), "{said}");
    assert!(said.contains("1 entry of 1.00 EUR, but the list has 2 items more than before"), "{said}");
    let honest = told(&paylab(&["check"], honest, &file()));
    assert!(!honest.contains("more than before"), "{honest}");
    let _ = (list, json_answer);
}
