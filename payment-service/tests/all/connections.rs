//! A PostgreSQL role with few connections left: the service says so at its start, or makes do with them.

use std::process;

use futures::future::join_all;
use paylab_core::targets::ours::Dedup;
use payment_service::{
    PaymentService,
    options::{Commit, Options},
};

use crate::support::{Database, Payment, Service, soon};

/// A role that may have so many connections at the same time, and options for a service as this role.
async fn limited(database: &Database, limit: u32) -> (String, Options) {
    let role = format!("few_{}_{limit}", process::id());
    database.sql(&format!("create role {role} login connection limit {limit}")).await;
    database.sql(&format!("create schema {}", database.schema.as_deref().unwrap())).await;
    database.sql(&format!("alter schema {} owner to {role}", database.schema.as_deref().unwrap())).await;
    alone(database, &format!("format('grant create on database %I to {role}', current_database())")).await;
    let more = if database.url.contains('?') { '&' } else { '?' };
    let url = format!("{}{more}user={role}", database.url);
    (role, Options { database: url.as_str().into(), commit: Commit::Each, ..database.options(Dedup::None) })
}

/// Runs a statement that changes the rights on the database. PostgreSQL refuses two of them at the same time.
async fn alone(database: &Database, statement: &str) {
    database.sql(&format!("do $$ begin perform pg_advisory_xact_lock(53300); execute {statement}; end $$")).await;
}

/// Removes the role and what it owns.
async fn remove(database: Database, role: &str) {
    alone(&database, &format!("'drop owned by {role} cascade'")).await;
    database.sql(&format!("drop role {role}")).await;
    database.remove().await;
}

#[tokio::test]
async fn too_few_connections_are_an_error_that_says_how_many_are_needed_and_what_to_do() {
    for limit in [0, 1] {
        let Some(database) = Database::postgres() else { return };
        let (role, options) = limited(&database, limit).await;
        let error = soon("the start", PaymentService::start(options)).await.unwrap_err().to_string();
        for words in [format!("has {limit} connections left"), "needs at least 2".into(), "CONNECTION LIMIT".into()] {
            assert!(error.contains(&words), "{words}: {error}");
        }
        remove(database, &role).await;
    }
}

/// More payments at once than there are connections.
#[tokio::test]
async fn a_service_makes_do_with_few_connections() {
    for limit in [2, 3] {
        let Some(database) = Database::postgres() else { return };
        let (role, options) = limited(&database, limit).await;
        let service = Service::start(options).await;
        let references: Vec<_> = (0..60).map(|number| number.to_string()).collect();
        let payments: Vec<_> = references.iter().map(|reference| Payment::of(reference)).collect();
        let answers = join_all(payments.iter().map(|payment| service.pay(payment))).await;
        assert!(answers.iter().all(|answer| answer.status == 200), "limit {limit}");
        assert_eq!(service.ledger().await.0.len(), 60);
        service.stop().await;
        remove(database, &role).await;
    }
}
