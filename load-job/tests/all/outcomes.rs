//! Each row of the outcome table, made on a real socket.

use load_job::Progress;
use paylab_core::{
    payment::PaymentId,
    witness::{
        attempt::{Acknowledgement, AttemptOutcome, Belief, Rejection, Uncertainty},
        history::{AttemptTotals, History},
    },
};
use serde_json::json;

use crate::scripted::{self, Act, PAID, Server, load, plan, run, run_watched, say};

const NEW: AttemptOutcome = AttemptOutcome::Acknowledged(Acknowledgement::New);
const REPEAT: AttemptOutcome = AttemptOutcome::Acknowledged(Acknowledgement::Repeat);
const REFUSED: AttemptOutcome = AttemptOutcome::Rejected(Rejection::Refused);

/// One payment, one attempt, against a server with this script: the history must show one attempt with this outcome, on one connection.
async fn check(acts: Vec<Act>, expected: AttemptOutcome) {
    let timeout = if expected == AttemptOutcome::Unknown(Uncertainty::Timeout) { "300ms" } else { "15s" };
    let shown = format!("{acts:?}");
    let server = Server::start(move |_| acts.clone()).await;
    let history =
        run(&load(plan(1, json!({"retry": {"maxAttempts": 1, "attemptTimeout": timeout}})), &server.address)).await;
    let mut totals = AttemptTotals::default();
    totals.count(expected);
    assert_eq!(history.attempts, totals, "{shown}");
    let row = history.row(PaymentId(0)).unwrap();
    assert_eq!((row.attempts, row.belief), (1, Belief::Untried.after(expected)), "{shown}");
    assert_eq!((server.connections(), server.requests().len()), (1, 1), "hidden retry after {shown}");
}

#[tokio::test]
async fn a_whole_2xx_acknowledges_however_it_is_framed() {
    for text in [
        PAID,
        "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nuntil the end",
    ] {
        check(say(text), NEW).await;
    }
}

#[tokio::test]
async fn a_response_in_pieces_is_one_response() {
    let pieces = ["HTTP/1.1 100 Continue\r\n\r", "\n", "HTTP/1.1 200 OK\r\nContent-", "Length: 4\r\n\r\nbo", "dy"];
    let sent = pieces.map(|piece| Act::Send(piece.to_owned()));
    check(sent.into_iter().chain([Act::Close]).collect(), NEW).await;
}

#[tokio::test]
async fn a_208_and_a_replayed_response_acknowledge_a_repeat() {
    check(say("HTTP/1.1 208 Already Reported\r\nContent-Length: 0\r\n\r\n"), REPEAT).await;
    check(say("HTTP/1.1 201 Created\r\nIdempotency-Replayed: true\r\nContent-Length: 0\r\n\r\n"), REPEAT).await;
    check(say("HTTP/1.1 201 Created\r\nIdempotency-Replayed: false\r\nContent-Length: 0\r\n\r\n"), NEW).await;
}

#[tokio::test]
async fn a_4xx_rejects_and_a_busy_service_leaves_the_outcome_unknown() {
    for status in [400, 404, 413, 415, 422] {
        check(say(&format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n")), REFUSED).await;
    }
    for status in [409, 425, 429, 500, 503] {
        let text = format!("HTTP/1.1 {status} Later\r\nContent-Length: 0\r\n\r\n");
        check(say(&text), AttemptOutcome::Unknown(Uncertainty::Retryable)).await;
    }
}

#[tokio::test]
async fn a_reset_leaves_the_outcome_unknown_unless_the_whole_response_had_come() {
    check(vec![Act::Reset], AttemptOutcome::Unknown(Uncertainty::Reset)).await;
    let part = Act::Send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbo".to_owned());
    check(vec![part, Act::Reset], AttemptOutcome::Unknown(Uncertainty::Reset)).await;
    let endless = Act::Send("HTTP/1.1 200 OK\r\n\r\nbody".to_owned());
    check(vec![endless, Act::Reset], AttemptOutcome::Unknown(Uncertainty::Reset)).await;
    check(vec![Act::Send(PAID.to_owned()), Act::Reset], NEW).await;
}

#[tokio::test]
async fn an_end_before_the_whole_response_leaves_the_outcome_unknown() {
    check(vec![Act::Close], AttemptOutcome::Unknown(Uncertainty::Eof)).await;
    check(say("HTTP/1.1 200 OK\r\nContent-Le"), AttemptOutcome::Unknown(Uncertainty::Eof)).await;
    check(say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbo"), AttemptOutcome::Unknown(Uncertainty::Eof)).await;
    check(
        say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"),
        AttemptOutcome::Unknown(Uncertainty::Eof),
    )
    .await;
    check(say("HTTP/1.1 422 No\r\nContent-Length: 4\r\n\r\nbo"), AttemptOutcome::Unknown(Uncertainty::Eof)).await;
    check(say("HTTP/1.1 100 Continue\r\n\r\n"), AttemptOutcome::Unknown(Uncertainty::Eof)).await;
}

#[tokio::test]
async fn silence_ends_in_a_timeout_even_within_a_response() {
    check(vec![Act::Silence], AttemptOutcome::Unknown(Uncertainty::Timeout)).await;
    let part = Act::Send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbo".to_owned());
    check(vec![part, Act::Silence], AttemptOutcome::Unknown(Uncertainty::Timeout)).await;
}

#[tokio::test]
async fn an_unexpected_response_leaves_the_outcome_unknown() {
    check(say("SSH-2.0-OpenSSH\r\n\r\n"), AttemptOutcome::Unknown(Uncertainty::Garbled)).await;
    check(say("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"), AttemptOutcome::Unknown(Uncertainty::Garbled)).await;
    check(say("HTTP/1.1 204 No Content\r\n\r\n"), AttemptOutcome::Unknown(Uncertainty::Garbled)).await;
}

#[tokio::test]
async fn the_client_closes_a_connection_that_the_server_leaves_open() {
    let acts = vec![Act::Send(PAID.to_owned()), Act::Silence];
    check(acts, NEW).await;
}

#[tokio::test]
async fn the_latency_is_counted_by_outcome() {
    let server =
        Server::start(|request| if request.attempt().attempt == 1 { vec![Act::Reset] } else { scripted::pay(request) })
            .await;
    let progress = Progress::default();
    let history: History = run_watched(&load(plan(5, json!({})), &server.address), &progress).await;
    let latency = progress.latency();
    assert_eq!((latency.unknown.len(), latency.acknowledged.len(), latency.rejected.len()), (5, 5, 0));
    assert!(latency.unknown.max() > 0 && latency.unknown.max() < 5_000_000);
    assert_eq!((progress.payments(), progress.ended(), progress.acknowledged(), progress.attempts()), (5, 5, 5, 10));
    assert_eq!((history.attempts.total, history.stopped), (10, None));
}
