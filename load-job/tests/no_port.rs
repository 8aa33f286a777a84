//! A machine that has run out of file descriptors. The test has a process of its own, because the limit applies to the process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod scripted;

use load_job::Progress;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use scripted::{Server, load, pay, plan, run_watched, until};
use serde_json::json;

#[tokio::test]
async fn tries_without_a_free_descriptor_are_counted_and_tried_again() {
    let limit = getrlimit(Resource::Nofile);
    let server = Server::start(move |request| {
        if request.attempt().payment.0 == 5 {
            setrlimit(Resource::Nofile, Rlimit { current: Some(1), ..limit }).unwrap();
        }
        pay(request)
    })
    .await;
    let client = json!({"concurrency": 2, "retry": {"maxAttempts": 1}});
    let (load, progress) = (load(plan(20, client), &server.address), Progress::default());
    let relief = async {
        until(|| progress.unreached() >= 5).await;
        setrlimit(Resource::Nofile, limit).unwrap();
    };
    let (history, ()) = tokio::join!(run_watched(&load, &progress), relief);
    assert_eq!(history.stopped, None);
    assert!(history.attempts.no_port >= 5 && history.attempts.unreached == 0, "{:?}", history.attempts);
    assert!(history.rows().all(|(_, row)| (row.attempts, row.acknowledged_by) == (1, 1)));
    assert!(server.attempts().iter().all(|attempt| attempt.ends_with("/1")));
}
