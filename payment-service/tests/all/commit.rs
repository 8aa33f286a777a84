//! A COMMIT whose answer is lost, on a real PostgreSQL behind a relay: the transaction is committed, and the service cannot know it. In no
//! mode it books a request again by itself.

use std::collections::BTreeMap;

use futures::future::join_all;
use paylab_core::{duration_text::DurationText, targets::ours::Dedup};
use payment_service::options::Options;

use crate::support::{
    Database, Payment, Service,
    relay::{Loss, Relay},
};

const CROWD: usize = 64;
/// Answers that are lost: those to the first group and to the second, if not everybody is in the first.
const LOST: usize = 2;
/// Long enough for the crowd to gather behind the first group.
const GAP: DurationText = DurationText::from_ms(200);
/// As many commits as a mode has at most for one request.
const COMMITS_MAX: usize = 3;

/// A service behind a relay.
async fn serve(database: &Database, dedup: Dedup, processing_time: DurationText) -> (Relay, Service) {
    let relay = Relay::start(database).await;
    let url = relay.url(database).as_str().into();
    let options = Options { database: url, processing_time, ..database.options(dedup) };
    let service = Service::start(options).await;
    service.ask("DELETE", "/payments/").await;
    (relay, service)
}

/// Pays each of these once, all at the same time, waits until every booking has ended, and counts the statuses.
async fn pay_once_each(service: &Service, payments: &[Payment<'_>]) -> BTreeMap<u16, usize> {
    let answers = join_all(payments.iter().map(|payment| service.pay(payment))).await;
    assert_eq!(service.ask("GET", "/drain").await.status, 200);
    let mut statuses = BTreeMap::new();
    for answer in answers {
        *statuses.entry(answer.status).or_default() += 1;
    }
    statuses
}

/// The number of entries of each reference that has any.
async fn entries(service: &Service) -> BTreeMap<String, usize> {
    let mut entries = BTreeMap::new();
    for entry in service.ledger().await.0 {
        *entries.entry(entry.reference.unwrap()).or_default() += 1;
    }
    entries
}

/// A crowd of requests, each sent once.
async fn lose_answers_to_a_crowd(database: &Database, dedup: Dedup, keys: Keys) {
    let (relay, service) = serve(database, dedup, GAP).await;
    let references: Vec<_> = (0..CROWD).map(|number| format!("payment {number}")).collect();
    let payments: Vec<_> = references.iter().map(|reference| keys.payment(reference)).collect();
    relay.lose(0, LOST, Loss::Cut);
    let statuses = pay_once_each(&service, &payments).await;
    let lost = relay.keep_all();
    let entries = entries(&service).await;
    assert!(entries.values().all(|count| *count == 1), "{dedup:?} {keys:?}: booked twice: {entries:?}");
    let failed = statuses.get(&500).copied().unwrap_or_default();
    let counters = service.ledger().await.1.counters;
    match dedup {
        Dedup::None | Dedup::UniqueKey | Dedup::Replay => {
            assert!((1..=LOST).contains(&lost), "{dedup:?} {keys:?}: {lost} answers were lost");
            assert!(failed > lost, "{dedup:?} {keys:?}: a group has several requests: {statuses:?}");
            assert_eq!(entries.len(), CROWD, "{dedup:?} {keys:?}: those that failed are committed as well");
        }
        Dedup::AckThenApply => assert_eq!(statuses, BTreeMap::from([(202, CROWD)])),
        Dedup::CheckThenInsert | Dedup::Memory | Dedup::KeyThenApply | Dedup::ApplyThenKey => {
            assert_eq!((lost, failed), (LOST, LOST), "{dedup:?} {keys:?}: {statuses:?}");
        }
    }
    let ended = counters.booked + counters.repeats + counters.refused + counters.failed;
    assert_eq!((counters.requests, ended), (CROWD as u64, CROWD as u64), "{dedup:?} {keys:?}");
    service.stop().await;
}

/// Whether requests have keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keys {
    One,
    None,
}

impl Keys {
    fn payment(self, reference: &str) -> Payment<'_> {
        match self {
            Self::One => Payment::of(reference),
            Self::None => Payment { key: None, ..Payment::of(reference) },
        }
    }
}

#[tokio::test]
async fn a_crowd_whose_commit_is_not_answered_is_not_booked_again() {
    let Some(database) = Database::postgres() else { return };
    for dedup in Dedup::ALL {
        for keys in [Keys::One, Keys::None] {
            lose_answers_to_a_crowd(&database, dedup, keys).await;
        }
    }
    database.remove().await;
}

/// The connection stays open, and the answer never comes.
#[tokio::test]
async fn a_commit_that_is_not_answered_in_time_is_not_booked_again() {
    let Some(database) = Database::postgres() else { return };
    let (relay, service) = serve(&database, Dedup::None, GAP).await;
    let references: Vec<_> = (0..CROWD).map(|number| format!("payment {number}")).collect();
    let payments: Vec<_> = references.iter().map(|reference| Payment::of(reference)).collect();
    relay.lose(0, 1, Loss::Silence);
    let statuses = pay_once_each(&service, &payments).await;
    assert_eq!(relay.keep_all(), 1);
    assert_eq!(statuses, BTreeMap::from([(500, CROWD)]), "those who waited behind it are not booked either");
    let entries = entries(&service).await;
    assert!(!entries.is_empty() && entries.values().all(|count| *count == 1), "{entries:?}");
    assert_eq!(service.pay(&Payment::of("later")).await.status, 200, "on another connection");
    service.stop().await;
    database.remove().await;
}

#[tokio::test]
async fn a_single_request_whose_commit_is_not_answered_is_not_booked_again() {
    let Some(database) = Database::postgres() else { return };
    for dedup in Dedup::ALL {
        let (relay, service) = serve(&database, dedup, DurationText::from_ms(0)).await;
        for skip in 0..COMMITS_MAX {
            for keys in [Keys::One, Keys::None] {
                let reference = format!("{skip} {keys:?}");
                relay.lose(skip, 1, Loss::Cut);
                let statuses = pay_once_each(&service, &[keys.payment(&reference)]).await;
                let lost = relay.keep_all();
                let expected = match (dedup, lost) {
                    (Dedup::AckThenApply, _) => 202,
                    (_, 0) => 200,
                    (_, _) => 500,
                };
                assert_eq!(statuses, BTreeMap::from([(expected, 1)]), "{dedup:?} {reference}");
                assert!(lost == 1 || skip > 0, "{dedup:?} {reference}: every request commits");
                let booked = service.booked(&reference).await.len();
                assert!(booked <= 1, "{dedup:?} {reference}: {booked} entries");
            }
        }
        service.stop().await;
    }
    database.remove().await;
}
