//! The HTTP interface of the lesson: routes, statuses and bytes, and what is refused.

use paylab_core::targets::ours::Dedup;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{Answer, Payment, on_each_database, post, soon};

const BODY: &str = r#"{"src":"bianca","dest":"marc","amount":1}"#;

#[tokio::test]
async fn the_lessons_requests_get_the_lessons_responses() {
    on_each_database(async |database| {
        let service = database.serve(Dedup::UniqueKey).await;
        assert_eq!(service.stats().await, "0.0");
        for (payment, status) in [(Payment::of("a"), 200), (Payment::of("b"), 200), (Payment::of("a"), 208)] {
            let answer = service.pay(&payment).await;
            assert_eq!((answer.status, answer.body.as_str()), (status, ""));
        }
        assert_eq!(service.stats().await, "2.0");
        for body in [BODY, &BODY.replace('1', "\"1\""), &BODY.replace('1', "1.00"), &BODY.replace('1', "0.5")] {
            assert_eq!(service.send(post("", body)).await.status, 200, "{body}");
        }
        assert_eq!(service.send(post("", BODY).replace("/payments/", "/payments")).await.status, 200);
        assert_eq!(service.stats().await, "6.5");
        assert_eq!(service.ask("DELETE", "/payments/").await.status, 200);
        assert_eq!(service.stats().await, "0.0");
        assert_eq!(service.pay(&Payment::of("a")).await.status, 200, "the keys are gone as well");
        service.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_bad_payment_is_refused_and_nothing_is_booked() {
    on_each_database(async |database| {
        let service = database.serve(Dedup::None).await;
        let long = format!(r#"{{"src":"{}","dest":"b","amount":1}}"#, "x".repeat(64 * 1024));
        for (headers, body, status, field) in [
            ("", "", 400, None),
            ("", "{}", 400, Some("src")),
            ("", r#"{"src":"a","dest":"b"}"#, 400, Some("amount")),
            ("", r#"{"src":"a","dest":"b","amount":-1}"#, 400, Some("amount")),
            ("", r#"{"src":"a","dest":"b","amount":0}"#, 400, Some("amount")),
            ("", r#"{"src":"a","dest":"b","amount":0.001}"#, 400, Some("amount")),
            ("", r#"{"src":"a","dest":"b","amount":NaN}"#, 400, None),
            ("", r#"{"src":"a","dest":"b","amount":"NaN"}"#, 400, Some("amount")),
            ("", r#"{"src":"a","dest":"b","amount":1e300}"#, 400, Some("amount")),
            ("", r#"{"src":"a","dest":"b","amount":1} and more"#, 400, None),
            ("Payment-Idempotence-Key: \r\n", BODY, 400, Some("Payment-Idempotence-Key")),
            ("Idempotency-Key: \"open\r\n", BODY, 400, Some("Idempotency-Key")),
            ("", &long, 413, None),
        ] {
            let answer = service.send(post(headers, body)).await;
            assert_eq!((answer.status, answer.field().as_deref()), (status, field), "{headers}{body:.60}");
            assert!(answer.has("content-type: application/problem+json"), "{}", answer.head);
        }
        let long_key = format!("Payment-Idempotence-Key: {}\r\n", "k".repeat(256));
        assert_eq!(service.send(post(&long_key, BODY)).await.status, 400);
        let text = post("", BODY).replace("application/json", "text/plain");
        assert_eq!(service.send(text).await.status, 415);
        assert_eq!(service.ledger().await.0, [], "nothing was booked");
        service.stop().await;
    })
    .await;
}

#[tokio::test]
async fn other_paths_and_methods_are_refused_with_what_is_allowed() {
    on_each_database(async |database| {
        let service = database.serve(Dedup::None).await;
        let answer = service.ask("GET", "/payments/").await;
        assert!(answer.status == 405 && answer.has("allow: delete, post"), "{}", answer.head);
        assert_eq!(service.ask("GET", "/payment").await.status, 404);
        assert_eq!(service.ask("GET", "/healthz").await.status, 200);
        assert_eq!(service.ask("GET", "/readyz").await.status, 200);
        assert_eq!(service.ask("GET", "/drain").await.status, 200);
        let answer = service.ask("GET", "/drain?timeout_ms=3600001").await;
        assert_eq!((answer.status, answer.field().as_deref()), (400, Some("timeout_ms")));
        let answer = service.ask("GET", "/drain?timeout_ms=soon").await;
        assert_eq!((answer.status, answer.field().as_deref()), (400, Some("timeout_ms")));
        service.stop().await;
    })
    .await;
}

#[tokio::test]
async fn either_key_header_identifies_a_repeat_and_is_the_default_reference() {
    on_each_database(async |database| {
        let service = database.serve(Dedup::UniqueKey).await;
        for (header, status) in [
            ("Payment-Idempotence-Key: one", 200),
            ("Idempotency-Key: one", 208),
            ("Idempotency-Key: \"one\"", 208),
            ("idempotency-key: \"two\"", 200),
        ] {
            assert_eq!(service.send(post(&format!("{header}\r\n"), BODY)).await.status, status, "{header}");
        }
        assert_eq!(service.booked("one").await, [100]);
        assert_eq!(service.booked("two").await, [100]);
        service.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_request_may_come_in_pieces_and_half_a_request_books_nothing() {
    on_each_database(async |database| {
        let service = database.serve(Dedup::None).await;
        let request = Payment::of("pieces").request();
        let (head, body) = request.split_at(request.len() - 20);
        let mut stream = service.connect().await;
        stream.set_nodelay(true).unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        // A connection with half a request does not delay the others.
        assert_eq!(service.pay(&Payment::of("other")).await.status, 200);
        stream.write_all(body.as_bytes()).await.unwrap();
        assert_eq!(Answer::read(stream).await.status, 200);

        let mut half = service.connect().await;
        half.write_all(Payment::of("half").request().as_bytes().split_last_chunk::<5>().unwrap().0).await.unwrap();
        half.shutdown().await.unwrap();
        let mut rest = Vec::new();
        soon("the end", half.read_to_end(&mut rest)).await.unwrap();
        assert!(!rest.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&rest));
        assert_eq!(service.ask("GET", "/drain").await.status, 200);
        let references: Vec<_> = service.ledger().await.0.into_iter().map(|entry| entry.reference.unwrap()).collect();
        assert_eq!(references, ["other", "pieces"]);
        service.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_and_keeps_its_connection_is_served() {
    on_each_database(async |database| {
        let service = database.serve(Dedup::None).await;
        let request = Payment::of("waits").request().replace("Connection: close", "Expect: 100-continue");
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let mut stream = service.connect().await;
        for _ in 0..2 {
            stream.write_all(format!("{head}\r\n\r\n").as_bytes()).await.unwrap();
            let mut answer = [0; 25];
            soon("100 Continue", stream.read_exact(&mut answer)).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
            stream.write_all(body.as_bytes()).await.unwrap();
            let mut answer = vec![0; 15];
            soon("200 OK", stream.read_exact(&mut answer)).await.unwrap();
            assert_eq!(answer, b"HTTP/1.1 200 OK");
            while !answer.ends_with(b"\r\n\r\n") {
                answer.push(soon("the head", stream.read_u8()).await.unwrap());
            }
        }
        assert_eq!(service.booked("waits").await, [100, 100]);
        drop(stream);
        service.stop().await;
    })
    .await;
}

#[tokio::test]
async fn the_counters_count_every_request() {
    on_each_database(async |database| {
        let service = database.serve(Dedup::UniqueKey).await;
        service.pay(&Payment::of("a")).await;
        service.pay(&Payment::of("a")).await;
        service.send(post("", "{}")).await;
        let counters = service.ledger().await.1.counters;
        assert_eq!((counters.requests, counters.booked, counters.repeats, counters.refused), (3, 1, 1, 1));
        assert_eq!((counters.failed, counters.in_flight), (0, 0));
        service.stop().await;
    })
    .await;
}
