//! How payments share connections, senders and time.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use load_job::Progress;
use paylab_core::{payment::PaymentId, witness::attempt::Belief};
use serde_json::json;

use crate::scripted::{Act, PAID, Request, Server, load, pay, plan, plan_with, run, run_watched};

#[tokio::test]
async fn exactly_as_many_payments_are_in_flight_as_the_plan_says() {
    // Every eight requests are answered together: fewer in flight would hang, more would be counted.
    let arrived = Mutex::new(0_usize);
    let server = Server::start(move |request| {
        let mut arrived = arrived.lock().unwrap();
        *arrived += 1;
        [vec![Act::AwaitRequests(arrived.div_ceil(8) * 8)], pay(request)].concat()
    })
    .await;
    let history = run(&load(plan(64, json!({"concurrency": 8})), &server.address)).await;
    assert_eq!((history.attempts.acknowledged, server.in_flight_most()), (64, 8));
}

#[tokio::test]
async fn payments_begin_in_the_order_of_their_numbers() {
    let server = Server::start(pay).await;
    run(&load(plan(50, json!({"concurrency": 1})), &server.address)).await;
    let expected: Vec<_> = (0..50).map(|payment| format!("{payment}/1")).collect();
    assert_eq!(server.attempts(), expected);
}

#[tokio::test]
async fn the_shares_of_the_workers_cover_every_payment_once() {
    let server = Server::start(pay).await;
    let plan = plan(100, json!({"workers": 3}));
    let mut shares = Vec::new();
    for worker in 0..3 {
        let load = load_job::Load { worker, ..load(plan.clone(), &server.address) };
        let history = run(&load).await;
        assert!(history.rows().all(|(_, row)| row.belief == Belief::Acknowledged));
        shares.push(history.share());
    }
    assert_eq!(shares, [0..33, 33..66, 66..100]);
    let payments: BTreeSet<_> = server.requests().iter().map(|request| request.attempt().payment).collect();
    assert_eq!((payments.len(), server.requests().len()), (100, 100));
}

/// Pays and leaves the connection open.
fn pay_and_keep(_: &Request) -> Vec<Act> {
    vec![Act::Send(PAID.to_owned())]
}

#[tokio::test]
async fn kept_connections_carry_attempts_until_they_break() {
    let kept = json!({"connection": "KeepAlive", "concurrency": 2});
    let server = Server::start(pay_and_keep).await;
    run(&load(plan(40, kept.clone()), &server.address)).await;
    assert_eq!((server.connections(), server.requests().len()), (2, 40));

    let server = Server::start(|request| match request.attempt() {
        id if id.attempt == 1 && id.payment.0 % 10 == 0 => vec![Act::Reset],
        _ => pay_and_keep(request),
    })
    .await;
    let history = run(&load(plan(40, json!({"connection": "KeepAlive", "concurrency": 1})), &server.address)).await;
    // One connection at first, and a new one after each of the four resets.
    assert_eq!((server.connections(), server.requests().len(), history.attempts.unknown), (5, 44, 4));
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closes_is_replaced_and_no_attempt_is_lost() {
    for goodbye in ["Connection: close\r\n", ""] {
        let text = format!("HTTP/1.1 200 OK\r\n{goodbye}Content-Length: 0\r\n\r\n");
        let server = Server::start(move |_| vec![Act::SendAndClose(text.clone())]).await;
        let client = json!({"connection": "KeepAlive", "concurrency": 1});
        let history = run(&load(plan(20, client), &server.address)).await;
        assert_eq!((server.connections(), history.attempts.total, history.attempts.acknowledged), (20, 20, 20));
    }
}

#[tokio::test]
async fn a_kept_connection_that_will_be_reset_after_the_response_carries_no_other_attempt() {
    let faults = json!([{"name": "late", "probability": 0.5, "reset": {"at": "AfterResponse"}}]);
    let plan = plan_with(60, json!({"faults": faults, "client": {"connection": "KeepAlive", "concurrency": 1}}));
    let sampler = plan.sampler.clone();
    let server = Server::start(move |request| {
        let end = (sampler.draw(request.attempt()).fired > 0).then_some(Act::Reset);
        pay_and_keep(request).into_iter().chain(end).collect()
    })
    .await;
    let history = run(&load(plan.clone(), &server.address)).await;
    let resets = (0..60).filter(|i| plan.sampler.draw(format!("{i}/1").parse().unwrap()).fired > 0).count();
    assert!((20..40).contains(&resets));
    assert_eq!((history.attempts.total, history.attempts.acknowledged), (60, 60));
    assert!((resets..=resets + 1).contains(&server.connections()), "{} for {resets} resets", server.connections());
}

#[tokio::test]
async fn an_open_loop_begins_payments_at_their_times() {
    let arrivals = Arc::new(Mutex::new(Vec::new()));
    let noted = arrivals.clone();
    let server = Server::start(move |request| {
        noted.lock().unwrap().push(Instant::now());
        pay(request)
    })
    .await;
    let begun = Instant::now();
    run(&load(plan(21, json!({"rate": 100})), &server.address)).await;
    let mut arrivals = arrivals.lock().unwrap().clone();
    arrivals.sort();
    for (gaps, arrival) in (0..).zip(&arrivals) {
        assert!(*arrival - begun >= Duration::from_millis(10) * gaps, "payment {gaps}: {:?}", *arrival - begun);
    }
    assert_eq!(arrivals.len(), 21);
}

#[tokio::test]
async fn the_latency_of_an_open_loop_includes_the_delay_of_late_payments() {
    let server = Server::start(|_| vec![Act::Silence]).await;
    let client = json!({"rate": 1000, "concurrency": 1, "retry": {"maxAttempts": 1, "attemptTimeout": "100ms"}});
    let progress = Progress::default();
    let history = run_watched(&load(plan(5, client), &server.address), &progress).await;
    assert_eq!(history.attempts.timeouts, 5);
    // The last payment should have begun after 4 ms, and it began after 400 ms.
    assert!(progress.latency().unknown.max() >= 450_000, "{}", progress.latency().unknown.max());
}

#[tokio::test]
async fn the_server_closes_first_so_the_client_keeps_its_ports() {
    let server = Server::start(|_| vec![Act::Send(PAID.to_owned()), Act::CloseLate]).await;
    let history = run(&load(plan(30, json!({})), &server.address)).await;
    assert_eq!(history.row(PaymentId(29)).unwrap().belief, Belief::Acknowledged);
    let port = server.address.rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
    // The side that closes first is in TIME_WAIT (state 06): `sl local:PORT remote:PORT state ...`, in hex.
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let waiting =
        sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).filter(|line| line[3] == "06");
    let ends: Vec<_> =
        waiting.map(|line| [line[1], line[2]].map(|end| end.ends_with(&format!(":{port:04X}")))).collect();
    let servers = ends.iter().filter(|[local, _]| *local).count();
    let clients = ends.iter().filter(|[_, remote]| *remote).count();
    assert!(servers >= 30 && clients == 0, "{servers} at the server, {clients} at the client");
}
