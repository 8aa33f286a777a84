//! A PostgreSQL that does not answer, as when its process is stopped: nothing waits for it for ever.

use std::time::{Duration, Instant};

use futures::future::join_all;
use paylab_core::targets::ours::Dedup;
use payment_service::{PaymentService, options::Options, run};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::support::{Database, Payment, Service, relay::Relay, soon};

/// A shutdown takes about five seconds.
const ENDED_WITHIN: Duration = Duration::from_secs(8);

async fn serve(database: &Database, relay: &Relay, dedup: Dedup) -> Service {
    let url = relay.url(database).as_str().into();
    Service::start(Options { database: url, ..database.options(dedup) }).await
}

/// The statuses of many payments at once.
async fn crowd(service: &Service, word: &str) -> Vec<u16> {
    let references: Vec<_> = (0..40).map(|number| format!("{word} {number}")).collect();
    let payments: Vec<_> = references.iter().map(|reference| Payment::of(reference)).collect();
    let answers = join_all(payments.iter().map(|payment| service.pay(payment)));
    let mut statuses: Vec<_> = soon(word, answers).await.iter().map(|answer| answer.status).collect();
    statuses.dedup();
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_answered_and_the_service_ends_while_the_database_is_silent() {
    let Some(database) = Database::postgres() else { return };
    let relay = Relay::start(&database).await;
    let mut services = Vec::new();
    for dedup in Dedup::ALL {
        let service = serve(&database, &relay, dedup).await;
        let accepted = if dedup == Dedup::AckThenApply { 202 } else { 200 };
        assert_eq!(crowd(&service, &format!("{dedup:?} before")).await, [accepted]);
        services.push((dedup, service));
    }
    relay.set_silent(true);
    let silent = join_all(services.into_iter().map(async |(dedup, service)| {
        let failed = if dedup == Dedup::AckThenApply { 202 } else { 500 };
        let word = format!("{dedup:?} silent");
        let (statuses, stats, ready) =
            tokio::join!(crowd(&service, &word), service.ask("GET", "/stats"), service.ask("GET", "/readyz"));
        assert_eq!((statuses, stats.status, ready.status), (vec![failed], 500, 500), "{dedup:?}");
        let late = crowd_in_flight(&service, dedup).await;
        let begun = Instant::now();
        service.stop().await;
        assert!(begun.elapsed() < ENDED_WITHIN, "{dedup:?}: {:?}", begun.elapsed());
        late.abort();
    }));
    soon("the end", silent).await;
    relay.set_silent(false);
    let service = serve(&database, &relay, Dedup::None).await;
    assert_eq!(crowd(&service, "after").await, [200], "the same requests, when the database answers");
    service.stop().await;
    database.remove().await;
}

/// Payments that are in flight when this returns.
async fn crowd_in_flight(service: &Service, dedup: Dedup) -> tokio::task::JoinHandle<()> {
    let address = service.address;
    let late = tokio::spawn(async move {
        let references: Vec<_> = (0..40).map(|number| format!("{dedup:?} late {number}")).collect();
        join_all(references.iter().map(async |reference| {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.write_all(Payment::of(reference).request().as_bytes()).await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }))
        .await;
    });
    let begun = async { while service.counters().await.in_flight < 40 {} };
    soon("payments in flight", begun).await;
    late
}

#[tokio::test]
async fn a_service_recovers_when_the_database_answers_again() {
    let Some(database) = Database::postgres() else { return };
    let relay = Relay::start(&database).await;
    let service = serve(&database, &relay, Dedup::UniqueKey).await;
    assert_eq!(crowd(&service, "before").await, [200]);
    relay.set_silent(true);
    assert_eq!(crowd(&service, "silent").await, [500]);
    relay.set_silent(false);
    assert_eq!(crowd(&service, "after").await, [200]);
    let counters = service.counters().await;
    assert_eq!((counters.requests, counters.booked, counters.failed), (120, 80, 40));
    service.stop().await;
    database.remove().await;
}

#[tokio::test]
async fn a_database_that_is_silent_from_the_start_is_an_error_and_does_not_hold_the_end() {
    let Some(database) = Database::postgres() else { return };
    let relay = Relay::start(&database).await;
    relay.set_silent(true);
    let options = || Options { database: relay.url(&database).as_str().into(), ..database.options(Dedup::None) };
    let error = soon("the start", PaymentService::start(options())).await.unwrap_err().to_string();
    assert!(error.contains("has not answered within 10s; check that the server runs"), "{error}");
    let shutdown = CancellationToken::new();
    let connections = relay.connections();
    let cancelled = async {
        while relay.connections() == connections {
            tokio::task::yield_now().await;
        }
        shutdown.cancel();
    };
    let (ended, ()) = tokio::join!(timeout(ENDED_WITHIN, run(options(), shutdown.clone())), cancelled);
    ended.unwrap().unwrap();
}
