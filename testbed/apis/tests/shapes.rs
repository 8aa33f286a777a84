//! What each shape answers, on real sockets: every request has a connection of its own.

#![expect(clippy::unwrap_used, reason = "a failed step of a test is its failure")]

use std::{net::SocketAddr, time::Duration};

use paylab_apis::{Conduct, Shape, serve};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A running service.
struct Api(SocketAddr);

struct Answer {
    status: u16,
    head: String,
    body: Value,
}

impl Api {
    async fn start(shape: Shape, conduct: Conduct) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, shape.router(conduct)));
        Self(address)
    }

    async fn send(&self, request: &str, headers: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.0).await.unwrap();
        let (host, len) = (self.0, body.len());
        let head = format!("{request} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}Content-Length: {len}");
        stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.unwrap();
        stream
    }

    async fn call(&self, request: &str, headers: &str, body: &str) -> Answer {
        let mut text = String::new();
        self.send(request, headers, body).await.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        Answer {
            status: head[9..12].parse().unwrap(),
            head: head.to_lowercase(),
            body: serde_json::from_str(body).unwrap_or(Value::Null),
        }
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.call(&format!("GET {path}"), "", "").await;
        assert_eq!(answer.status, 200, "{path}");
        answer.body
    }

    async fn post(&self, path: &str, key: &str, body: &str) -> Answer {
        self.call(&format!("POST {path}"), &format!("Idempotency-Key: {key}\r\n"), body).await
    }
}

fn form(reference: &str, amount: u32) -> String {
    format!("amount={amount}&currency=eur&metadata%5Breference%5D={reference}")
}

fn len(value: &Value) -> usize {
    value.as_array().unwrap().len()
}

#[tokio::test]
async fn stripe_stores_the_answer_of_a_key_and_refuses_another_body() {
    let api = Api::start(Shape::Stripe, Conduct::Correct).await;
    let first = api.post("/v1/charges", "k1", &form("r1", 100)).await;
    let repeat = api.post("/v1/charges", "k1", &form("r1", 100)).await;
    assert_eq!((first.status, repeat.status), (200, 200));
    assert_eq!(first.body, repeat.body);
    assert_eq!(first.body["metadata"]["reference"], "r1");
    let other = api.post("/v1/charges", "k1", &form("r1", 101)).await;
    assert_eq!((other.status, &other.body["error"]["code"]), (400, &json!("idempotency_error")));
    assert_eq!(len(&api.get("/v1/charges").await["data"]), 1);
    let bad = api.post("/v1/charges", "k2", "amount=0&currency=eur&metadata%5Breference%5D=r2").await;
    assert_eq!((bad.status, &bad.body["error"]["code"]), (400, &json!("parameter_invalid")));
}

#[tokio::test]
async fn stripe_refuses_a_key_in_flight_and_finishes_what_its_caller_has_left() {
    let api = Api::start(Shape::Stripe, Conduct::Correct).await;
    let body = form("r1", 100);
    let (one, other) = tokio::join!(api.post("/v1/charges", "k1", &body), api.post("/v1/charges", "k1", &body));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);

    drop(api.send("POST /v1/charges", "Idempotency-Key: k2\r\n", &form("r2", 100)).await);
    for _ in 0..500 {
        if len(&api.get("/v1/charges").await["data"]) == 2 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the second payment was never booked");
}

#[tokio::test]
async fn stripe_lists_pages_from_the_newest() {
    let api = Api::start(Shape::Stripe, Conduct::Correct).await;
    for number in 1..=3 {
        api.post("/v1/charges", &format!("k{number}"), &form(&format!("r{number}"), 100)).await;
    }
    let page = api.get("/v1/charges?limit=2").await;
    assert_eq!((&page["data"][0]["id"], &page["has_more"]), (&json!("ch_3"), &json!(true)));
    let last = api.get("/v1/charges?limit=2&starting_after=ch_2").await;
    assert_eq!((&last["data"][0]["id"], &last["has_more"]), (&json!("ch_1"), &json!(false)));
    assert_eq!(api.call("GET /v1/charges?starting_after=other", "", "").await.status, 400);
}

#[tokio::test]
async fn broken_stripe_books_again_on_another_connection() {
    let api = Api::start(Shape::Stripe, Conduct::Broken).await;
    let first = api.post("/v1/charges", "k1", &form("r1", 100)).await;
    let repeat = api.post("/v1/charges", "k1", &form("r1", 100)).await;
    assert_eq!((first.status, repeat.status), (200, 200));
    assert_ne!(first.body["id"], repeat.body["id"]);
    assert_eq!(len(&api.get("/v1/charges").await["data"]), 2);
}

fn square(key: &str, amount: u32) -> String {
    let money = json!({"amount": amount, "currency": "EUR"});
    json!({"idempotency_key": key, "amount_money": money, "reference_id": "r1"}).to_string()
}

#[tokio::test]
async fn square_has_the_key_in_the_body_and_pages_by_cursor() {
    let api = Api::start(Shape::Square, Conduct::Correct).await;
    let body = square("k1", 100);
    let (one, other) = tokio::join!(api.call("POST /v2/payments", "", &body), api.call("POST /v2/payments", "", &body));
    assert_eq!((one.status, other.status, &one.body), (200, 200, &other.body));
    let changed = api.call("POST /v2/payments", "", &square("k1", 101)).await;
    assert_eq!((changed.status, &changed.body["errors"][0]["code"]), (400, &json!("IDEMPOTENCY_KEY_REUSED")));
    assert_eq!(api.call("POST /v2/payments", "", &square("k2", 0)).await.status, 400);
    api.call("POST /v2/payments", "", &square("k2", 100)).await;
    let page = api.get("/v2/payments?limit=1").await;
    assert_eq!((len(&page["payments"]), &page["cursor"]), (1, &json!("2")));
    let last = api.get("/v2/payments?limit=1&cursor=2").await;
    assert_eq!((&last["payments"][0]["id"], last.get("cursor")), (&json!("sq1"), None));
}

#[tokio::test]
async fn broken_square_refuses_a_repeat_of_what_it_has_booked() {
    let api = Api::start(Shape::Square, Conduct::Broken).await;
    assert_eq!(api.call("POST /v2/payments", "", &square("k1", 100)).await.status, 200);
    assert_eq!(api.call("POST /v2/payments", "", &square("k1", 100)).await.status, 422);
    assert_eq!(len(&api.get("/v2/payments").await["payments"]), 1);
}

fn gocardless(reference: &str) -> String {
    json!({"payments": {"amount": 100, "currency": "EUR", "metadata": {"reference": reference}}}).to_string()
}

#[tokio::test]
async fn gocardless_answers_a_repeat_with_a_conflict_that_points_to_the_payment() {
    let api = Api::start(Shape::Gocardless, Conduct::Correct).await;
    let first = api.post("/payments", "k1", &gocardless("r1")).await;
    assert_eq!((first.status, &first.body["payments"]["id"]), (201, &json!("PM1")));
    let repeat = api.post("/payments", "k1", &gocardless("r1")).await;
    let error = &repeat.body["error"]["errors"][0];
    assert_eq!((repeat.status, &error["reason"]), (409, &json!("idempotent_creation_conflict")));
    assert_eq!(error["links"]["conflicting_resource_id"], "PM1");
    api.post("/payments", "k2", &gocardless("r2")).await;
    let page = api.get("/payments?limit=1").await;
    assert_eq!((&page["payments"][0]["id"], &page["meta"]["cursors"]["after"]), (&json!("PM2"), &json!("PM2")));
    let last = api.get("/payments?limit=1&after=PM2").await;
    assert_eq!((&last["payments"][0]["id"], &last["meta"]["cursors"]["after"]), (&json!("PM1"), &Value::Null));
    assert_eq!(api.post("/payments", "k3", "{}").await.status, 422);
}

#[tokio::test]
async fn broken_gocardless_says_for_ever_that_the_first_request_is_in_flight() {
    let api = Api::start(Shape::Gocardless, Conduct::Broken).await;
    assert_eq!(api.post("/payments", "k1", &gocardless("r1")).await.status, 201);
    for _ in 0..3 {
        let repeat = api.post("/payments", "k1", &gocardless("r1")).await;
        let reason = &repeat.body["error"]["errors"][0]["reason"];
        assert_eq!((repeat.status, reason), (409, &json!("idempotent_creation_in_progress")));
    }
    assert_eq!(len(&api.get("/payments").await["payments"]), 1);
}

fn mollie(value: &str) -> String {
    json!({"amount": {"value": value, "currency": "EUR"}, "metadata": {"reference": "r1"}}).to_string()
}

#[tokio::test]
async fn mollie_has_decimal_amounts_and_linked_pages() {
    let api = Api::start(Shape::Mollie, Conduct::Correct).await;
    let first = api.post("/v2/payments", "k1", &mollie("10.00")).await;
    let repeat = api.post("/v2/payments", "k1", &mollie("11.00")).await;
    assert_eq!((first.status, repeat.status, &first.body), (201, 201, &repeat.body));
    assert_eq!(first.body["amount"], json!({"value": "10.00", "currency": "EUR"}));
    for value in ["10", "0.00", "1.000", "ten"] {
        let expected = if value == "10" { 201 } else { 422 };
        assert_eq!(api.post("/v2/payments", value, &mollie(value)).await.status, expected, "{value}");
    }
    let page = api.get("/v2/payments?limit=1").await;
    let next = page["_links"]["next"]["href"].as_str().unwrap();
    let path = next.strip_prefix(&format!("http://{}", api.0)).unwrap();
    let last = api.get(path).await;
    assert_eq!((&last["_embedded"]["payments"][0]["id"], &last["_links"]["next"]), (&json!("tr_1"), &Value::Null));
}

#[tokio::test]
async fn broken_mollie_gives_each_repeat_a_new_identity_and_books_nothing() {
    let api = Api::start(Shape::Mollie, Conduct::Broken).await;
    let mut identities = Vec::new();
    for _ in 0..3 {
        identities.push(api.post("/v2/payments", "k1", &mollie("1.00")).await.body["id"].to_string());
    }
    identities.dedup();
    assert_eq!(identities.len(), 3);
    assert_eq!(api.get("/v2/payments").await["count"], 1);
}

fn increase(amount: u32) -> String {
    json!({"amount": amount, "currency": "EUR", "description": "r1"}).to_string()
}

#[tokio::test]
async fn increase_marks_a_repeat_and_is_looked_up_by_key() {
    let api = Api::start(Shape::Increase, Conduct::Correct).await;
    let path = "/account_transfers";
    let first = api.post(path, "k1", &increase(100)).await;
    let repeat = api.post(path, "k1", &increase(100)).await;
    assert_eq!((first.status, repeat.status, &first.body), (200, 200, &repeat.body));
    assert!(!first.head.contains("idempotent-replayed") && repeat.head.contains("idempotent-replayed: true"));
    let other = api.post(path, "k1", &increase(101)).await;
    assert_eq!((other.status, &other.body["resource_id"]), (409, &json!("account_transfer_1")));
    api.post(path, "k2", &increase(100)).await;
    assert_eq!(len(&api.get("/account_transfers?idempotency_key=k1").await["data"]), 1);
    assert_eq!(len(&api.get("/account_transfers?idempotency_key=k3").await["data"]), 0);
    let page = api.get("/account_transfers?limit=1").await;
    assert_eq!((len(&page["data"]), &page["next_cursor"]), (1, &json!("2")));
}

#[tokio::test]
async fn broken_increase_acknowledges_each_tenth_transfer_without_booking_it() {
    let api = Api::start(Shape::Increase, Conduct::Broken).await;
    for number in 1..=10 {
        assert_eq!(api.post("/account_transfers", &format!("k{number}"), &increase(100)).await.status, 200);
    }
    assert_eq!(api.post("/account_transfers", "k10", &increase(100)).await.status, 200);
    assert_eq!(len(&api.get("/account_transfers").await["data"]), 9);
    assert_eq!(len(&api.get("/account_transfers?idempotency_key=k10").await["data"]), 0);
}

async fn lesson(api: &Api, key: &str, amount: &str) -> u16 {
    let headers = format!("Payment-Idempotence-Key: {key}\r\nContent-Type: text/plain\r\n");
    let body = format!(r#"{{"src": "bianca", "dest": "marc", "amount": {amount}}}"#);
    api.call("POST /payments/", &headers, &body).await.status
}

#[tokio::test]
async fn the_lesson_tells_a_repeat_by_208_and_has_only_a_total() {
    let api = Api::start(Shape::Lesson, Conduct::Correct).await;
    for (amount, status) in [("1", 200), (r#""1.00""#, 208), ("1.0", 208)] {
        assert_eq!(lesson(&api, "k1", amount).await, status, "{amount}");
    }
    assert_eq!(lesson(&api, "k2", r#""0.50""#).await, 200);
    assert_eq!(lesson(&api, "k3", "-1").await, 400);
    assert_eq!(api.get("/stats").await.to_string(), "1.5");
    assert_eq!(api.call("DELETE /payments/", "", "").await.status, 200);
    assert_eq!(api.get("/stats").await, json!(0.0));
}

#[tokio::test]
async fn the_broken_lesson_books_each_repeat() {
    let api = Api::start(Shape::Lesson, Conduct::Broken).await;
    for status in [200, 208, 208] {
        assert_eq!(lesson(&api, "k1", "1").await, status);
    }
    assert_eq!(api.get("/stats").await, json!(3.0));
}

#[tokio::test]
async fn two_copies_at_once_are_booked_once_by_each_correct_shape() {
    for shape in Shape::ALL {
        let api = Api::start(shape, Conduct::Correct).await;
        let (path, body, list) = match shape {
            Shape::Stripe => ("/v1/charges", form("r1", 100), "/v1/charges"),
            Shape::Square => ("/v2/payments", square("k1", 100), "/v2/payments"),
            Shape::Gocardless => ("/payments", gocardless("r1"), "/payments"),
            Shape::Mollie => ("/v2/payments", mollie("1.00"), "/v2/payments"),
            Shape::Increase => ("/account_transfers", increase(100), "/account_transfers"),
            Shape::Lesson => ("/payments/", r#"{"src": "a", "dest": "b", "amount": 1}"#.to_owned(), "/stats"),
        };
        let request = format!("POST {path}");
        let headers = "Idempotency-Key: k1\r\nPayment-Idempotence-Key: k1\r\n";
        tokio::join!(api.call(&request, headers, &body), api.call(&request, headers, &body));
        let ledger = api.get(list).await;
        let entries = match shape {
            Shape::Stripe | Shape::Increase => len(&ledger["data"]),
            Shape::Square | Shape::Gocardless => len(&ledger["payments"]),
            Shape::Mollie => len(&ledger["_embedded"]["payments"]),
            Shape::Lesson => usize::from(ledger == json!(1.0)),
        };
        assert_eq!(entries, 1, "{shape:?}");
    }
}
