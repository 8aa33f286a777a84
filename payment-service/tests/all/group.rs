//! Group commit with many payments at once, on both databases: payments in one transaction do not affect each other.

use std::collections::BTreeMap;

use paylab_core::targets::ours::Dedup;
use payment_service::options::{Commit, Options};

use crate::support::{Database, NOTHING, Payment, Service, on_each_database};

const CROWD: usize = 200;

async fn serve(database: &Database, dedup: Dedup, commit: Commit) -> Service {
    Service::start(Options { commit, ..database.options(dedup) }).await
}

/// Pays each of these once, all at the same time, and counts the statuses.
async fn crowd(service: &Service, references: &[String]) -> BTreeMap<u16, usize> {
    let payments: Vec<_> = references.iter().map(|reference| Payment::of(reference)).collect();
    let answers = futures::future::join_all(payments.iter().map(|payment| service.pay(payment))).await;
    let mut statuses = BTreeMap::new();
    for answer in answers {
        *statuses.entry(answer.status).or_default() += 1;
    }
    statuses
}

#[tokio::test]
async fn many_payments_at_once_are_all_booked_however_they_are_committed() {
    on_each_database(async |database| {
        for dedup in [Dedup::None, Dedup::UniqueKey, Dedup::Replay] {
            for commit in [Commit::Group, Commit::Each] {
                let service = serve(database, dedup, commit).await;
                service.ask("DELETE", "/payments/").await;
                let references: Vec<_> = (0..CROWD).map(|payment| format!("payment {payment}")).collect();
                assert_eq!(crowd(&service, &references).await, BTreeMap::from([(200, CROWD)]), "{dedup:?} {commit:?}");
                let (entries, footer) = service.ledger().await;
                let mut booked: Vec<_> = entries.into_iter().filter_map(|entry| entry.reference).collect();
                booked.sort_unstable();
                let mut asked = references;
                asked.sort_unstable();
                assert_eq!(booked, asked, "{dedup:?} {commit:?}");
                assert_eq!(footer.total_minor, 20_000);
                service.stop().await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn of_many_copies_at_once_one_is_booked_and_the_others_are_repeats() {
    on_each_database(async |database| {
        for commit in [Commit::Group, Commit::Each] {
            let service = serve(database, Dedup::UniqueKey, commit).await;
            let reference = format!("{commit:?}");
            let statuses = crowd(&service, &vec![reference.clone(); CROWD]).await;
            assert_eq!(statuses, BTreeMap::from([(200, 1), (208, CROWD - 1)]), "{commit:?}");
            assert_eq!(service.booked(&reference).await, [100], "{commit:?}");
            service.stop().await;
        }
    })
    .await;
}

/// One payment that the database refuses, among others that it accepts.
#[tokio::test]
async fn a_payment_that_fails_does_not_affect_the_others_of_its_batch() {
    on_each_database(async |database| {
        for dedup in [Dedup::None, Dedup::UniqueKey, Dedup::Replay] {
            let service = serve(database, dedup, Commit::Group).await;
            service.ask("DELETE", "/payments/").await;
            database.sql("drop index if exists one_poison").await;
            database.sql("create unique index one_poison on entries (amount_minor) where amount_minor = 666").await;
            let poison = |reference| Payment { amount: "6.66", ..Payment::of(reference) };
            assert_eq!(service.pay(&poison("poison 1")).await.status, 200);
            let references: Vec<_> = (0..CROWD).map(|payment| format!("payment {payment}")).collect();
            let (poisoned, crowded) = (poison("poison 2"), crowd(&service, &references));
            let (answer, statuses) = tokio::join!(service.pay(&poisoned), crowded);
            assert_eq!(answer.status, 500, "{dedup:?}");
            assert!(!answer.body.contains("one_poison"), "what the database says is for the log alone");
            assert_eq!(statuses, BTreeMap::from([(200, CROWD)]), "{dedup:?}");
            assert_eq!(service.booked("poison 2").await, NOTHING, "{dedup:?}");
            assert_eq!(service.ledger().await.0.len(), CROWD + 1, "{dedup:?}");
            service.stop().await;
        }
    })
    .await;
}
