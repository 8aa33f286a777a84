//! When a payment is tried again, and when it is not.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use load_job::{Progress, sending::deliver};
use paylab_core::{
    client::ATTEMPTS_MAX,
    payment::{AttemptId, PaymentId},
    witness::{attempt::Belief, history::Stop},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::scripted::{Act, Server, load, pay, plan, plan_with, run, say, until};

#[tokio::test]
async fn a_payment_is_tried_until_it_is_acknowledged_and_not_once_more() {
    let server =
        Server::start(|request| if request.attempt().attempt < 5 { vec![Act::Reset] } else { pay(request) }).await;
    let history = run(&load(plan(10, json!({})), &server.address)).await;
    assert!(history.rows().all(|(_, row)| (row.attempts, row.acknowledged_by) == (5, 5)));
    assert_eq!((history.attempts.total, server.connections(), history.stopped), (50, 50, None));
}

#[tokio::test]
async fn a_client_with_three_attempts_gives_up_after_the_third() {
    let server = Server::start(|_| vec![Act::Reset]).await;
    let history = run(&load(plan(4, json!({"retry": {"maxAttempts": 3}})), &server.address)).await;
    assert!(history.rows().all(|(_, row)| (row.attempts, row.belief) == (3, Belief::Unknown)));
    assert_eq!((server.connections(), history.stopped), (12, None));
}

#[tokio::test]
async fn a_refused_payment_is_not_tried_again_and_a_busy_service_is() {
    for (status, attempts, belief) in [(422, 1, Belief::Rejected), (503, 4, Belief::Unknown)] {
        let text = format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n");
        let server = Server::start(move |_| say(&text)).await;
        let history = run(&load(plan(1, json!({"retry": {"maxAttempts": 4}})), &server.address)).await;
        let row = history.row(PaymentId(0)).unwrap();
        assert_eq!((row.attempts, row.belief), (attempts, belief), "{status}");
    }
}

#[tokio::test]
async fn hedged_copies_are_sent_at_once_with_consecutive_numbers() {
    // The first round is answered only when all three copies are there; none of them is acknowledged.
    let server = Server::start(|request| match request.attempt().attempt {
        1..=3 => vec![Act::AwaitRequests(3), Act::Reset],
        4 => vec![Act::AwaitRequests(6), Act::Reset],
        _ => [vec![Act::AwaitRequests(6)], pay(request)].concat(),
    })
    .await;
    let history = run(&load(plan(1, json!({"hedge": 3})), &server.address)).await;
    let mut attempts = server.attempts();
    attempts[..3].sort();
    attempts[3..].sort();
    assert_eq!(attempts, ["0/1", "0/2", "0/3", "0/4", "0/5", "0/6"]);
    let row = history.row(PaymentId(0)).unwrap();
    assert_eq!((row.attempts, row.belief, history.attempts.acknowledged), (6, Belief::Acknowledged, 2));
}

#[tokio::test]
async fn the_last_round_of_hedged_copies_keeps_to_the_attempts_that_are_left() {
    let server = Server::start(|_| vec![Act::Reset]).await;
    let client = json!({"hedge": 2, "retry": {"maxAttempts": 5}});
    let history = run(&load(plan(3, client), &server.address)).await;
    assert!(history.rows().all(|(_, row)| row.attempts == 5));
    assert_eq!(server.connections(), 15);
}

#[tokio::test]
async fn pauses_come_from_the_seed_and_are_capped() {
    let arrivals = Arc::new(Mutex::new(Vec::new()));
    let noted = arrivals.clone();
    let server = Server::start(move |_| {
        noted.lock().unwrap().push(Instant::now());
        vec![Act::Reset]
    })
    .await;
    let retry = json!({"maxAttempts": 6, "backoff": {"base": "40ms", "cap": "80ms"}});
    let plan = plan(1, json!({"retry": retry}));
    let pauses: Vec<_> = (1..6)
        .map(|attempt| plan.client.pause_after(plan.seed(), AttemptId { payment: PaymentId(0), attempt }))
        .collect();
    run(&load(plan, &server.address)).await;
    let arrivals = arrivals.lock().unwrap();
    let gaps: Vec<_> = arrivals.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps.len(), pauses.len());
    for (gap, pause) in gaps.iter().zip(&pauses) {
        assert!(gap >= pause && *pause <= Duration::from_millis(80), "{gaps:?} {pauses:?}");
    }
    assert!(gaps.iter().sum::<Duration>() < pauses.iter().sum::<Duration>() * 2 + Duration::from_secs(1));
}

#[tokio::test]
async fn the_deadline_ends_a_load_whose_attempts_hang() {
    let server = Server::start(|_| vec![Act::Silence]).await;
    let plan = plan_with(100, json!({"activeDeadline": "2s", "client": {"concurrency": 4}}));
    let begun = Instant::now();
    let history = run(&load(plan, &server.address)).await;
    assert_eq!(history.stopped, Some(Stop::Deadline));
    assert!(begun.elapsed() >= Duration::from_secs(2) && begun.elapsed() < Duration::from_secs(20));
    // The outcome of payments in flight is unknown; the others are untried.
    let beliefs: Vec<_> = history.rows().map(|(_, row)| row.belief).collect();
    assert_eq!(&beliefs[..5], [Belief::Unknown, Belief::Unknown, Belief::Unknown, Belief::Unknown, Belief::Untried]);
    assert_eq!((history.attempts.total, server.requests().len()), (4, 4));
}

#[tokio::test]
async fn a_signal_ends_a_waiting_load_and_keeps_its_history() {
    let server =
        Server::start(|request| if request.attempt().payment.0 == 0 { pay(request) } else { vec![Act::Silence] }).await;
    let (load, progress, shutdown) =
        (load(plan(2, json!({"concurrency": 1})), &server.address), Progress::default(), CancellationToken::new());
    let signal = async {
        until(|| server.requests().len() == 2).await;
        shutdown.cancel();
    };
    let (history, ()) = tokio::join!(deliver(&load, &progress, &shutdown), signal);
    let history = history.unwrap();
    assert_eq!(history.stopped, Some(Stop::Signal));
    assert_eq!(history.row(PaymentId(0)).unwrap().belief, Belief::Acknowledged);
    assert_eq!(history.row(PaymentId(1)).unwrap().belief, Belief::Unknown);
    assert_eq!((progress.ended(), progress.acknowledged()), (1, 1));
}

#[tokio::test]
async fn a_load_whose_future_is_dropped_ends() {
    let server = Server::start(|_| vec![Act::Silence]).await;
    let (load, progress, never) =
        (load(plan(9, json!({})), &server.address), Progress::default(), CancellationToken::new());
    tokio::select! {
        history = deliver(&load, &progress, &never) => panic!("{history:?}"),
        () = until(|| server.requests().len() == 8) => {}
    }
    until(|| server.gone() == 8).await;
    assert_eq!(server.requests().len(), 8);
}

#[tokio::test]
async fn a_payment_that_is_never_acknowledged_ends_the_load_at_the_bound_of_attempts() {
    let server = Server::start(|_| vec![Act::Reset]).await;
    let history = run(&load(plan(1000, json!({"concurrency": 1})), &server.address)).await;
    assert_eq!(history.stopped, Some(Stop::Attempts));
    assert_eq!(history.attempts.total, u64::from(ATTEMPTS_MAX));
    assert_eq!(history.row(PaymentId(1)).unwrap().belief, Belief::Untried);
}
