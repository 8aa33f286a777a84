//! Services under TLS: faults act on them as on plain ones, and a certificate that cannot be trusted is told in a sentence.

use std::{fs, process::Output};

use paylab_apis::{Conduct, Shape};
use rcgen::date_time_ymd;
use serde_json::{Value, json};

use crate::support::{
    apis,
    binary::{experiment, paylab, printed, root, text},
    foreign::{CONTRACT, honest, start},
    tls::{Authority, in_front_of},
};

/// An experiment of 60 payments, with further lines of the target.
fn file(further: &str) -> String {
    let spec = r"
  claim: ExactlyOnce
  seed: 42
  payments: {count: 60}
  client: {idempotencyKey: PerPayment, retry: {attemptTimeout: 2s}}
  faults: [{name: response-lost, probability: 0.3, reset: {at: BeforeResponse}}]
  target:
    url: http://127.0.0.1:1";
    experiment(&format!("{spec}{CONTRACT}{further}"))
}

fn told(output: &Output) -> String {
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

#[test]
fn services_under_tls_are_judged_as_those_without() {
    let authority = Authority::new("The test's CA");
    for (shape, example, class) in
        [(Shape::Stripe, "stripe", "Duplicated"), (Shape::Increase, "increase", "AcknowledgedButLost")]
    {
        for conduct in [Conduct::Correct, Conduct::Broken] {
            let port = in_front_of(apis::start(shape, conduct), authority.sign(&["localhost"], |_| {})).port();
            let text = fs::read_to_string(root().join(format!("examples/targets/{example}.yaml"))).unwrap();
            let file = text.replace("  target:\n", &format!("  target:\n{}", authority.trusted()));
            let file = file.replace("count: 500", "count: 200");
            let url = format!("https://localhost:{port}");
            let output = paylab(&["run", "-", "--target", &url, "--output", "json"], &file);
            let status: Value =
                serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", printed(&output)));
            match conduct {
                Conduct::Correct => {
                    let booked = (&status["payments"]["acknowledged"], &status["payments"]["booked"]);
                    assert_eq!(
                        (&status["verdict"], booked),
                        (&json!("Upheld"), (&json!(200), &json!(200))),
                        "{status}"
                    );
                    assert_eq!(status["lab"].get("findings"), None, "{example}: {status}");
                }
                Conduct::Broken => {
                    assert_eq!(
                        (&status["verdict"], &status["reason"]),
                        (&json!("Violated"), &json!(class)),
                        "{status}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_certificate_that_cannot_be_trusted_is_told_in_a_sentence() {
    let (authority, other) = (Authority::new("The test's CA"), Authority::new("Another CA"));
    let good = || authority.sign(&["localhost", "127.0.0.1"], |_| {});
    let expired = authority.sign(&["localhost"], |params| {
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    });
    let future = authority.sign(&["localhost"], |params| params.not_before = date_time_ymd(4000, 1, 1));
    let service = start(honest);
    for (config, trusted, sentence) in [
        (
            good(),
            String::new(),
            "the certificate of localhost is signed by a CA that this machine does not know; put the CA's certificate into spec.target.ca",
        ),
        (good(), other.trusted(), "the certificate of localhost is not signed by the CA in spec.target.ca"),
        (expired, authority.trusted(), "the certificate of localhost has expired, "),
        (future, authority.trusted(), "the certificate of localhost is not valid yet"),
        (
            authority.sign(&["pay.example", "books.example"], |_| {}),
            authority.trusted(),
            "the certificate of localhost is not for that name, but for pay.example, books.example; name it so in spec.target.url",
        ),
    ] {
        let url = format!("https://localhost:{}", in_front_of(service, config).port());
        let check = paylab(&["check", "-", "--target", &url], &file(&trusted));
        assert_eq!(
            (check.status.code(), told(&check).contains(sentence)),
            (Some(64), true),
            "{sentence}: {}",
            printed(&check)
        );
        let run = paylab(&["run", "-", "--target", &url], &file(&trusted));
        let said = told(&run).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!((run.status.code(), said.contains(sentence)), (Some(2), true), "{sentence}: {}", printed(&run));
    }
    // An address can be certified, too.
    let url = format!("https://{}", in_front_of(service, good()));
    let check = paylab(&["check", "-", "--target", &url], &file(&authority.trusted()));
    assert_eq!(check.status.code(), Some(0), "{}", printed(&check));
}

#[test]
fn the_wrong_scheme_is_told_in_a_sentence() {
    let authority = Authority::new("The test's CA");
    let plain = apis::start(Shape::Stripe, Conduct::Correct);
    let secured = in_front_of(plain, authority.sign(&["127.0.0.1"], |_| {}));
    for (url, sentence) in [
        (format!("https://{plain}"), "use http:// in spec.target.url"),
        (format!("http://{secured}"), "what answers speaks TLS; use https:// in spec.target.url"),
    ] {
        let check = paylab(&["check", "-", "--target", &url], &file(&authority.trusted()));
        assert_eq!((check.status.code(), told(&check).contains(sentence)), (Some(64), true), "{}", printed(&check));
    }
}

#[test]
fn what_is_no_certificate_is_refused_with_its_field() {
    let pem = "    ca: |\n      -----BEGIN CERTIFICATE-----\n      AAAA\n      -----END CERTIFICATE-----\n";
    for (ca, problem) in [
        ("    ca: x\n", "spec.target.ca: has no certificate; use the certificate of the CA in PEM"),
        (pem, "spec.target: the CA in spec.target.ca cannot be used"),
    ] {
        let run = paylab(&["run", "-", "--target", "https://localhost:1"], &file(ca));
        assert_eq!((run.status.code(), told(&run).contains(problem)), (Some(64), true), "{}", printed(&run));
    }
}
