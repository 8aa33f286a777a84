//! The eight modes on real sockets and both databases: what each one withstands, and what breaks it.

use paylab_core::{
    duration_text::DurationText,
    targets::ours::{Dedup, MissingKey, OnDisconnect},
};
use payment_service::options::Options;
use tokio::io::AsyncWriteExt as _;

use crate::support::{Database, NOTHING, Payment, Service, on_each_database, soon};

const WITH_KEYS: [Dedup; 7] = [
    Dedup::UniqueKey,
    Dedup::Replay,
    Dedup::CheckThenInsert,
    Dedup::Memory,
    Dedup::KeyThenApply,
    Dedup::ApplyThenKey,
    Dedup::AckThenApply,
];
/// Long enough for another request to come in between, short enough for a test.
const GAP: DurationText = DurationText::from_ms(300);

/// A service whose critical section takes some time.
async fn serve_slowly(database: &Database, dedup: Dedup) -> Service {
    Service::start(Options { processing_time: GAP, ..database.options(dedup) }).await
}

async fn drained(service: &Service) {
    assert_eq!(service.ask("GET", "/drain").await.status, 200);
}

#[tokio::test]
async fn a_later_repeat_is_booked_again_only_by_none() {
    on_each_database(async |database| {
        for dedup in [Dedup::None].into_iter().chain(WITH_KEYS) {
            let service = database.serve(dedup).await;
            let reference = format!("{dedup:?}");
            let mut statuses = Vec::new();
            for _ in 0..3 {
                statuses.push(service.pay(&Payment::of(&reference)).await.status);
                drained(&service).await;
            }
            let (expected, entries) = match dedup {
                Dedup::None => ([200, 200, 200], 3),
                Dedup::Replay => ([200, 200, 200], 1),
                Dedup::AckThenApply => ([202, 202, 202], 1),
                _ => ([200, 208, 208], 1),
            };
            assert_eq!(statuses, expected, "{dedup:?}");
            assert_eq!(service.booked(&reference).await, vec![100; entries], "{dedup:?}");
            service.stop().await;
        }
    })
    .await;
}

#[tokio::test]
async fn concurrent_copies_break_the_modes_that_check_before_they_book() {
    on_each_database(async |database| {
        for dedup in [Dedup::None].into_iter().chain(WITH_KEYS) {
            let service = serve_slowly(database, dedup).await;
            let reference = format!("{dedup:?}");
            let statuses = service.pay_at_once(&Payment::of(&reference), 4).await;
            drained(&service).await;
            let (expected, entries) = match dedup {
                Dedup::None | Dedup::CheckThenInsert | Dedup::ApplyThenKey => ([200; 4], 2..=4),
                Dedup::UniqueKey | Dedup::Memory | Dedup::KeyThenApply => ([200, 208, 208, 208], 1..=1),
                Dedup::Replay => ([200, 409, 409, 409], 1..=1),
                Dedup::AckThenApply => ([202; 4], 1..=1),
            };
            let booked = service.booked(&reference).await.len();
            assert!(entries.contains(&booked), "{dedup:?}: {booked} entries");
            if entries == (1..=1) {
                assert_eq!(statuses, expected, "{dedup:?}");
            }
            service.stop().await;
        }
    })
    .await;
}

#[tokio::test]
async fn another_body_under_the_same_key_is_refused_by_replay_alone() {
    on_each_database(async |database| {
        for dedup in WITH_KEYS {
            let service = database.serve(dedup).await;
            let reference = format!("{dedup:?}");
            let payment = Payment::of(&reference);
            service.pay(&payment).await;
            drained(&service).await;
            let answer = service.pay(&Payment { amount: "9.99", ..payment }).await;
            drained(&service).await;
            let expected = match dedup {
                Dedup::Replay => 422,
                Dedup::AckThenApply => 202,
                _ => 208,
            };
            assert_eq!(answer.status, expected, "{dedup:?}");
            assert_eq!(service.booked(&reference).await, [100], "{dedup:?}: the first amount stands");
            service.stop().await;
        }
    })
    .await;
}

#[tokio::test]
async fn replay_marks_a_stored_response() {
    on_each_database(async |database| {
        let service = database.serve(Dedup::Replay).await;
        assert!(!service.pay(&Payment::of("a")).await.has("idempotency-replayed: true"));
        assert!(service.pay(&Payment::of("a")).await.has("idempotency-replayed: true"));
        service.stop().await;
    })
    .await;
}

#[tokio::test]
async fn replay_books_a_repeat_again_after_the_key_has_expired() {
    on_each_database(async |database| {
        let forgetful = |key_ttl| Options { key_ttl, ..database.options(Dedup::Replay) };
        let service = Service::start(forgetful(Some(DurationText::from_ms(0)))).await;
        service.pay(&Payment::of("forgotten")).await;
        let repeat = service.pay(&Payment::of("forgotten")).await;
        assert!(repeat.status == 200 && !repeat.has("idempotency-replayed: true"));
        assert_eq!(service.booked("forgotten").await, [100, 100]);
        service.stop().await;
        let service = Service::start(forgetful(Some(DurationText::from_ms(3_600_000)))).await;
        service.pay(&Payment::of("kept")).await;
        assert!(service.pay(&Payment::of("kept")).await.has("idempotency-replayed: true"));
        assert_eq!(service.booked("kept").await, [100]);
        service.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_request_without_a_key_is_booked_or_refused_as_the_option_says() {
    on_each_database(async |database| {
        for dedup in [Dedup::None].into_iter().chain(WITH_KEYS) {
            let reference = format!("{dedup:?}");
            let payment = Payment { key: None, ..Payment::of(&reference) };
            let refusing = Options { missing_key: MissingKey::Refuse, ..database.options(dedup) };
            let service = Service::start(refusing).await;
            let answer = service.pay(&payment).await;
            if dedup == Dedup::None {
                assert_eq!(answer.status, 200, "None does not look at keys");
            } else {
                let named = (answer.status, answer.field());
                assert_eq!(named, (400, Some("Payment-Idempotence-Key".to_owned())), "{dedup:?}");
                assert_eq!(service.booked(&reference).await, NOTHING, "{dedup:?}");
            }
            service.stop().await;
            let service = database.serve(dedup).await;
            service.ask("DELETE", "/payments/").await;
            service.pay(&payment).await;
            service.pay(&payment).await;
            drained(&service).await;
            assert_eq!(service.booked(&reference).await, [100, 100], "{dedup:?}");
            service.stop().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_restart_breaks_memory_alone() {
    on_each_database(async |database| {
        for dedup in WITH_KEYS {
            let reference = format!("{dedup:?}");
            for _ in 0..2 {
                let service = database.serve(dedup).await;
                service.pay(&Payment::of(&reference)).await;
                service.stop().await;
            }
            let service = database.serve(dedup).await;
            let entries = if dedup == Dedup::Memory { 2 } else { 1 };
            assert_eq!(service.booked(&reference).await.len(), entries, "{dedup:?}");
            service.stop().await;
        }
    })
    .await;
}

#[tokio::test]
async fn two_replicas_break_memory_and_not_a_unique_column() {
    on_each_database(async |database| {
        for (dedup, entries) in [(Dedup::Memory, 2), (Dedup::UniqueKey, 1), (Dedup::Replay, 1)] {
            let (one, other) = (database.serve(dedup).await, database.serve(dedup).await);
            let reference = format!("{dedup:?}");
            let payment = Payment::of(&reference);
            let (first, second) = tokio::join!(one.pay(&payment), other.pay(&payment));
            assert!([first.status, second.status].contains(&200), "{dedup:?}");
            assert_eq!(one.booked(&reference).await.len(), entries, "{dedup:?}");
            one.stop().await;
            other.stop().await;
        }
    })
    .await;
}

/// A Java server finishes the booking, a Rust server drops it; then `KeyThenApply` loses a payment that it acknowledges.
#[tokio::test]
async fn with_cancel_a_caller_that_hangs_up_makes_key_then_apply_lose_the_payment() {
    on_each_database(async |database| {
        for (on_disconnect, processing_ms, booked) in
            [(OnDisconnect::Finish, 1, vec![100]), (OnDisconnect::Cancel, 3_600_000, vec![])]
        {
            let processing_time = DurationText::from_ms(processing_ms);
            let service =
                Service::start(Options { on_disconnect, processing_time, ..database.options(Dedup::KeyThenApply) })
                    .await;
            service.ask("DELETE", "/payments/").await;
            hang_up(&service, async || database.sql("select count(*) from claimed_keys").await == Some(1)).await;
            assert_eq!(service.pay(&Payment::of("hung up")).await.status, 208, "acknowledged");
            assert_eq!(service.booked("hung up").await, booked, "{on_disconnect:?}");
            service.stop().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_caller_that_hangs_up_does_not_break_the_modes_with_one_transaction() {
    on_each_database(async |database| {
        for on_disconnect in [OnDisconnect::Finish, OnDisconnect::Cancel] {
            for dedup in [Dedup::UniqueKey, Dedup::Replay] {
                let service =
                    Service::start(Options { on_disconnect, processing_time: GAP, ..database.options(dedup) }).await;
                service.ask("DELETE", "/payments/").await;
                hang_up(&service, async || service.ledger().await.1.counters.in_flight == 1).await;
                assert!([200, 208].contains(&service.pay(&Payment::of("hung up")).await.status));
                assert_eq!(service.booked("hung up").await, [100], "{on_disconnect:?} {dedup:?}");
                service.stop().await;
            }
        }
    })
    .await;
}

/// Pays, hangs up once the booking has begun, and waits until the service has ended it.
async fn hang_up(service: &Service, has_come_so_far: impl AsyncFn() -> bool) {
    let mut stream = service.connect().await;
    stream.write_all(Payment::of("hung up").request().as_bytes()).await.unwrap();
    let waiting = async { while !has_come_so_far().await {} };
    soon("the booking to begin", waiting).await;
    stream.set_zero_linger().unwrap();
    drop(stream);
    drained(service).await;
}
