//! The bytes on the wire.

use serde_json::json;

use crate::scripted::{Act, Request, Server, load, pay, plan, plan_with, run};

/// Resets the first two attempts of every payment.
fn pay_at_third(request: &Request) -> Vec<Act> {
    if request.attempt().attempt < 3 { vec![Act::Reset] } else { pay(request) }
}

#[tokio::test]
async fn a_request_has_exactly_these_bytes() {
    let server = Server::start(pay).await;
    run(&load(plan(1, json!({"idempotencyKey": "PerPayment"})), &server.address)).await;
    let expected = format!(
        "POST /payments/ HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Paylab-Attempt: 0/1\r\nPaylab-Reference: run-1.0\r\nPayment-Idempotence-Key: run-1.0\r\n\
         Content-Length: 46\r\n\r\n{{\"src\":\"bianca\",\"dest\":\"marc\",\"amount\":\"1.00\"}}",
        server.address
    );
    assert_eq!(server.requests()[0].text, expected);
}

/// The keys of three attempts of one payment under a policy.
async fn keys(policy: &str) -> Vec<Option<String>> {
    let server = Server::start(pay_at_third).await;
    run(&load(plan(1, json!({"idempotencyKey": policy})), &server.address)).await;
    let key = |request: &Request| request.header("Payment-Idempotence-Key").map(str::to_owned);
    server.requests().iter().map(key).collect()
}

#[tokio::test]
async fn a_key_is_sent_as_the_policy_says() {
    assert_eq!(keys("None").await, [None, None, None]);
    assert_eq!(keys("PerPayment").await, ["run-1.0"; 3].map(|key| Some(key.to_owned())));
    assert_eq!(keys("PerAttempt").await, ["run-1.0.1", "run-1.0.2", "run-1.0.3"].map(|key| Some(key.to_owned())));
}

#[tokio::test]
async fn every_attempt_names_its_payment_and_keeps_its_reference() {
    let server = Server::start(pay_at_third).await;
    run(&load(plan(2, json!({"concurrency": 1})), &server.address)).await;
    assert_eq!(server.attempts(), ["0/1", "0/2", "0/3", "1/1", "1/2", "1/3"]);
    let references: Vec<_> =
        server.requests().iter().map(|request| request.header("Paylab-Reference").unwrap().to_owned()).collect();
    assert_eq!(references, ["run-1.0", "run-1.0", "run-1.0", "run-1.1", "run-1.1", "run-1.1"]);
}

#[tokio::test]
async fn body_drift_adds_a_cent_to_each_attempt() {
    let bodies = async |drift: &str| {
        let server = Server::start(pay_at_third).await;
        let payments = json!({"count": 1, "amount": "9.99", "from": "a", "to": "b"});
        let fields = json!({"payments": payments, "client": {"bodyDrift": drift}});
        run(&load(plan_with(1, fields), &server.address)).await;
        server.requests().iter().map(|request| request.body().to_owned()).collect::<Vec<_>>()
    };
    let body = |amount: &str| format!("{{\"src\":\"a\",\"dest\":\"b\",\"amount\":\"{amount}\"}}");
    assert_eq!(bodies("Amount").await, ["9.99", "10.00", "10.01"].map(body));
    assert_eq!(bodies("None").await, ["9.99"; 3].map(body));
}

#[tokio::test]
async fn a_request_on_a_kept_connection_has_no_connection_close() {
    let server = Server::start(pay).await;
    run(&load(plan(1, json!({"connection": "KeepAlive"})), &server.address)).await;
    assert_eq!(server.requests()[0].header("Connection"), None);
}
