//! Tries that never leave the machine are no attempts, and their number is bounded.

use std::time::Instant;

use load_job::{
    Error, Progress,
    sending::{UNREACHED_FOR_MAX, deliver},
};
use paylab_core::witness::{attempt::Belief, history::Stop};
use serde_json::json;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::scripted::{Server, load, pay, plan, run, run_watched, until};

/// A bound address that refuses every connection until it listens.
fn taken() -> (Socket, String) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap().to_string();
    (socket, address)
}

#[tokio::test]
async fn a_proxy_that_does_not_run_ends_the_load_within_its_bound_and_nothing_was_tried() {
    let (_socket, address) = taken();
    let begun = Instant::now();
    let history = run(&load(plan(100, json!({"retry": {"maxAttempts": 2}})), &address)).await;
    assert_eq!(history.stopped, Some(Stop::Unreachable));
    assert!(begun.elapsed() >= UNREACHED_FOR_MAX && begun.elapsed() < UNREACHED_FOR_MAX * 3);
    assert!(history.rows().all(|(_, row)| (row.attempts, row.belief) == (0, Belief::Untried)));
    let totals = history.attempts;
    assert_eq!((totals.total, totals.rejected), (totals.unreached, totals.unreached));
    // Eight senders for 10 s with pauses of up to 100 ms: the load did not spin.
    assert!((100..2_000).contains(&totals.unreached), "{}", totals.unreached);
}

#[tokio::test]
async fn a_proxy_that_comes_late_sees_every_payment_from_its_first_attempt() {
    let (socket, address) = taken();
    let (load, progress) = (load(plan(20, json!({"retry": {"maxAttempts": 1}})), &address), Progress::default());
    let come_late = async {
        until(|| progress.unreached() >= 10).await;
        socket.listen(64).unwrap();
        socket.set_nonblocking(true).unwrap();
        Server::on(TcpListener::from_std(socket.into()).unwrap(), pay)
    };
    let (history, server) = tokio::join!(run_watched(&load, &progress), come_late);
    assert_eq!(history.stopped, None);
    assert!(history.rows().all(|(_, row)| (row.attempts, row.acknowledged_by) == (1, 1)));
    assert!(server.attempts().iter().all(|attempt| attempt.ends_with("/1")));
    assert_eq!((server.connections(), history.attempts.acknowledged), (20, 20));
    assert_eq!(history.attempts.unreached, progress.unreached());
}

/// A listener with a full backlog.
fn full() -> (TcpListener, std::net::TcpStream, String) {
    let (socket, address) = taken();
    socket.listen(0).unwrap();
    socket.set_nonblocking(true).unwrap();
    let first = std::net::TcpStream::connect(&address).unwrap();
    (TcpListener::from_std(socket.into()).unwrap(), first, address)
}

#[tokio::test]
async fn a_connection_that_is_not_established_in_time_is_no_attempt() {
    let (listener, _first, address) = full();
    let client = json!({"concurrency": 1, "retry": {"maxAttempts": 1, "attemptTimeout": "800ms"}});
    let (load, progress) = (load(plan(3, client), &address), Progress::default());
    let accept_late = async {
        until(|| progress.unreached() >= 2).await;
        Server::on(listener, pay)
    };
    let (history, server) = tokio::join!(run_watched(&load, &progress), accept_late);
    assert!(history.rows().all(|(_, row)| (row.attempts, row.acknowledged_by) == (1, 1)), "{history:?}");
    assert_eq!(server.attempts(), ["0/1", "1/1", "2/1"]);
    assert!(history.attempts.unreached >= 2);
}

#[tokio::test]
async fn a_connection_that_is_established_late_carries_its_request() {
    let (listener, _first, address) = full();
    let progress = Progress::default();
    let load = load(plan(1, json!({"retry": {"maxAttempts": 1, "attemptTimeout": "15s"}})), &address);
    let port = address.rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
    let accept_late = async {
        // The client's SYN (state 02) was dropped; it sends another one after a second.
        let begun = |line: &str| line.contains(&format!(":{port:04X} 02 "));
        until(|| std::fs::read_to_string("/proc/net/tcp").unwrap().lines().any(begun)).await;
        Server::on(listener, pay)
    };
    let (history, server) = tokio::join!(run_watched(&load, &progress), accept_late);
    assert_eq!((history.attempts.acknowledged, history.attempts.total, server.requests().len()), (1, 1, 1));
}

#[tokio::test]
async fn an_address_that_cannot_be_resolved_is_an_error_that_names_it() {
    let nowhere = load(plan(1, json!({})), "127.0.0.1:none");
    let error = deliver(&nowhere, &Progress::default(), &CancellationToken::new()).await.unwrap_err();
    assert!(matches!(&error, Error::Address { address, .. } if address == "127.0.0.1:none"), "{error}");
    assert!(error.to_string().starts_with("cannot find the proxy 127.0.0.1:none: "), "{error}");
}
