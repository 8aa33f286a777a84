//! Callers that hang up, on both databases: what is booked, and what the service counts.

use futures::future::join_all;
use paylab_core::{
    duration_text::DurationText,
    targets::ours::{Dedup, OnDisconnect},
    witness::ledger::ServiceCounters,
};
use payment_service::options::Options;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::support::{Database, Payment, Service, on_each_database, post, soon};

const CALLERS: u64 = 12;

/// A service whose bookings take this long, with an empty ledger.
async fn serve(database: &Database, dedup: Dedup, on_disconnect: OnDisconnect, processing_ms: u64) -> Service {
    let processing_time = DurationText::from_ms(processing_ms);
    let service = Service::start(Options { on_disconnect, processing_time, ..database.options(dedup) }).await;
    service.ask("DELETE", "/payments/").await;
    service
}

/// Sends a payment for each of these references and returns the connections, on which nothing was read.
async fn call(service: &Service, references: &[String]) -> Vec<TcpStream> {
    join_all(references.iter().map(async |reference| {
        let mut stream = service.connect().await;
        stream.write_all(Payment::of(reference).request().as_bytes()).await.unwrap();
        stream
    }))
    .await
}

/// Resets connections and waits until every booking has ended.
async fn hang_up(service: &Service, streams: Vec<TcpStream>) {
    for stream in streams {
        stream.set_zero_linger().unwrap();
        drop(stream);
    }
    assert_eq!(service.ask("GET", "/drain").await.status, 200);
}

/// Waits until so many requests were received whole.
async fn received(service: &Service, requests: u64) {
    let waiting = async { while service.counters().await.requests < requests {} };
    soon("requests to be received", waiting).await;
}

fn references(word: &str) -> Vec<String> {
    (0..CALLERS).map(|caller| format!("{word} {caller}")).collect()
}

#[tokio::test]
async fn callers_that_hang_up_while_their_payment_is_processed_are_booked_by_finish_and_not_by_cancel() {
    on_each_database(async |database| {
        for dedup in [Dedup::None, Dedup::UniqueKey, Dedup::Replay] {
            for (on_disconnect, booked) in [(OnDisconnect::Finish, CALLERS), (OnDisconnect::Cancel, 0)] {
                let service = serve(database, dedup, on_disconnect, 2_000).await;
                let streams = call(&service, &references("gone")).await;
                received(&service, CALLERS).await;
                hang_up(&service, streams).await;
                let entries = service.ledger().await.0.len() as u64;
                assert_eq!(entries, booked, "{on_disconnect:?} {dedup:?}");
                let expected = ServiceCounters {
                    requests: CALLERS,
                    booked,
                    failed: CALLERS - booked,
                    ..ServiceCounters::default()
                };
                assert_eq!(service.counters().await, expected, "{on_disconnect:?} {dedup:?}");
                service.stop().await;
            }
        }
    })
    .await;
}

/// Some callers hang up at any time, some are refused, some repeat, and the database refuses one payment.
#[tokio::test]
async fn every_request_is_counted_once_and_every_entry_is_counted_as_booked() {
    on_each_database(async |database| {
        for dedup in Dedup::ALL {
            for on_disconnect in [OnDisconnect::Finish, OnDisconnect::Cancel] {
                let service = serve(database, dedup, on_disconnect, 30).await;
                database.sql("create unique index if not exists one_poison on entries (amount_minor) where amount_minor = 666").await;
                let (gone, staying) = (references("gone"), references("staying"));
                let streams = call(&service, &gone).await;
                let poison = |reference| Payment { amount: "6.66", ..Payment::of(reference) };
                let staying = async {
                    join_all(staying.iter().map(async |reference| service.pay(&Payment::of(reference)).await)).await;
                    service.pay(&poison("poison 1")).await;
                    service.pay(&poison("poison 2")).await;
                    service.pay(&Payment::of(&staying[0])).await;
                    service.pay(&Payment { amount: "9.99", ..Payment::of(&staying[0]) }).await;
                    service.send(post("", "{}")).await.status
                };
                let (status, ()) = tokio::join!(staying, hang_up(&service, streams));
                assert_eq!(status, 400);
                assert_eq!(service.ask("GET", "/drain").await.status, 200);
                let (entries, footer) = service.ledger().await;
                let ServiceCounters { requests, booked, repeats, refused, failed, in_flight } = footer.counters;
                let of = format!("{on_disconnect:?} {dedup:?}: {:?}", footer.counters);
                assert_eq!((requests, in_flight), (booked + repeats + refused + failed, 0), "{of}");
                assert_eq!(booked, entries.len() as u64, "{of}");
                assert!(requests >= CALLERS + 5 && refused >= 1 && failed >= 1, "{of}");
                service.stop().await;
            }
        }
    })
    .await;
}

/// `ApplyThenKey` has committed its entry when its caller hangs up.
#[tokio::test]
async fn an_entry_of_a_cancelled_booking_is_counted_as_booked() {
    on_each_database(async |database| {
        let service = serve(database, Dedup::ApplyThenKey, OnDisconnect::Cancel, 3_600_000).await;
        let streams = call(&service, &["half".to_owned()]).await;
        let booked = async { while database.sql("select count(*) from entries").await != Some(1) {} };
        soon("the entry", booked).await;
        hang_up(&service, streams).await;
        let expected = ServiceCounters { requests: 1, booked: 1, ..ServiceCounters::default() };
        assert_eq!(service.counters().await, expected);
        assert_eq!(database.sql("select count(*) from seen_keys").await, Some(0), "it was cancelled before its key");
        service.stop().await;
    })
    .await;
}
