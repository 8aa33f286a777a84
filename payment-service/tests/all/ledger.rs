//! The ledger as the judge reads it: in order, whole, one snapshot, and without a footer when it could not be read to its end.

use paylab_core::{targets::ours::Dedup, witness::ledger::Elsewhere};
use paylab_part::contract::LEDGER_PATH;
use payment_service::{
    Error, PaymentService,
    options::{Commit, Options},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{Answer, Database, Payment, Service, on_each_database, read_ledger, soon};

/// Inserts entries directly, with the database's own way to generate numbers.
async fn fill(database: &Database, count: u32) {
    let numbers = if database.schema.is_some() {
        format!("select generate_series(1, {count}) as n")
    } else {
        format!("with recursive up (n) as (select 1 union all select n + 1 from up where n < {count}) select n from up")
    };
    let insert = "insert into entries (reference, src, dest, amount_minor) select 'payment ' || n, 'a', 'b', 100 from";
    database.sql(&format!("{insert} ({numbers}) as numbers")).await;
}

#[tokio::test]
async fn the_ledger_is_whole_however_many_pages_it_has() {
    on_each_database(async |database| {
        let service = database.serve(Dedup::None).await;
        let (entries, footer) = service.ledger().await;
        assert_eq!((entries.len(), footer.seal.lines, footer.total_minor), (0, 0, 0));
        for (more, total, lines, total_minor) in
            [(999, 999, 999, 99_900), (1, 1000, 1000, 100_000), (1501, 2501, 2501, 250_100)]
        {
            fill(database, more).await;
            let (entries, footer) = service.ledger().await;
            assert_eq!((entries.len(), footer.seal.lines, footer.total_minor), (total, lines, total_minor));
            assert!(entries.is_sorted_by(|one, next| one.id < next.id), "in order, no entry twice");
        }
        service.stop().await;
    })
    .await;
}

#[tokio::test]
async fn the_ledger_is_one_snapshot_while_payments_are_booked() {
    on_each_database(async |database| {
        let service = database.serve(Dedup::None).await;
        fill(database, 100_000).await;
        let mut reading = service.connect().await;
        reading.write_all(format!("GET {LEDGER_PATH} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
        let mut first = vec![0; 1000];
        soon("the first entries", reading.read_exact(&mut first)).await.unwrap();
        assert_eq!(service.pay(&Payment::of("late")).await.status, 200);
        let rest = Answer::read_after(first, reading).await;
        let (entries, footer) = read_ledger(&rest.body);
        assert_eq!((entries.len(), footer.total_minor), (100_000, 10_000_000));
        assert_eq!(service.ledger().await.0.len(), 100_001);
        service.stop().await;
    })
    .await;
}

/// Every worker of a run reads its own part, and what nobody's part is.
#[tokio::test]
async fn a_window_of_the_ledger_counts_the_runs_other_entries_and_sends_all_others() {
    on_each_database(async |database| {
        let service = database.serve(Dedup::None).await;
        // More than a page of the run's entries lies outside of the window.
        let insert = |reference: &str, count: u32| {
            let numbers = format!("with recursive up (n) as (select 0 union all select n + 1 from up where n < {count} - 1)");
            format!(
                "insert into entries (reference, src, dest, amount_minor) {numbers} select {reference}, 'a', 'b', 100 + n from up"
            )
        };
        for (reference, count) in [("'run.' || n", 2500), ("'run.7'", 1), ("'other.' || n", 3), ("null", 2)] {
            database.sql(&insert(reference, count)).await;
        }
        let whole = service.ledger().await;
        assert_eq!((whole.0.len(), whole.1.elsewhere), (2506, Elsewhere::default()));
        for (query, own, elsewhere) in [
            ("run=run", 2501, 0),
            ("run=run&from=5&to=10", 6, 2495),
            ("run=run&from=2400", 100, 2401),
            ("run=run&to=8", 9, 2492),
            ("run=run&from=5&to=5", 0, 2501),
            ("run=nobody&from=0&to=1", 2501, 0),
        ] {
            let answer = service.ask("GET", &format!("{LEDGER_PATH}?{query}")).await;
            let (entries, footer) = read_ledger(&answer.body);
            assert_eq!((entries.len(), footer.elsewhere.entries), (own + 5, elsewhere), "{query}");
            assert_eq!(footer.seal.lines, own as u64 + 5, "{query}");
            let sent: i64 = entries.iter().map(|entry| entry.amount_minor).sum();
            assert_eq!(sent + footer.elsewhere.amount_minor, footer.total_minor, "{query}");
            assert_eq!(footer.total_minor, whole.1.total_minor, "{query}");
            assert_eq!(entries.iter().filter(|entry| entry.reference.is_none()).count(), 2, "{query}");
        }
        for (query, field) in [
            ("from=1", "from"),
            ("to=1", "to"),
            ("run=a.b", "run"),
            ("run=run&from=x", "from"),
            ("run=run&from=2&to=1", "to"),
        ] {
            let answer = service.ask("GET", &format!("{LEDGER_PATH}?{query}")).await;
            assert_eq!((answer.status, answer.field().as_deref()), (400, Some(field)), "{query}");
        }
        service.stop().await;
    })
    .await;
}

/// Only PostgreSQL can terminate a client's connection.
#[tokio::test]
async fn the_ledger_breaks_off_without_a_footer_when_the_database_fails() {
    let Some(database) = Database::postgres() else { return };
    let service = database.serve(Dedup::None).await;
    fill(&database, 100_000).await;
    let mut reading = service.connect().await;
    reading
        .write_all(format!("GET {LEDGER_PATH} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut first = vec![0; 1000];
    soon("the first entries", reading.read_exact(&mut first)).await.unwrap();
    let schema = database.schema.as_deref().unwrap();
    database
        .sql(&format!(
            "select count(pg_terminate_backend(pid)) from pg_locks join pg_class on pg_class.oid = relation
             where relnamespace = '{schema}'::regnamespace and pid <> pg_backend_pid()"
        ))
        .await;
    let mut rest = Vec::new();
    let _ = soon("the end", reading.read_to_end(&mut rest)).await;
    let text = String::from_utf8_lossy(&rest);
    assert!(!text.contains("footer"), "what is not whole must not look whole");
    assert!(!text.ends_with("0\r\n\r\n"), "nor like a body that has ended");
    service.stop().await;
    database.remove().await;
}

#[tokio::test]
async fn a_database_that_cannot_be_opened_is_an_error_that_says_what_to_use() {
    let nowhere = Database::sqlite();
    let of = |database: &str, schema: Option<&str>| Options {
        database: database.into(),
        schema: schema.map(str::to_owned),
        ..nowhere.options(Dedup::None)
    };
    for (options, word) in [
        (of("mysql://h/d", None), "use sqlite:FILE or postgres://"),
        (of("ledger.db", None), "use sqlite:FILE or postgres://"),
        (of("sqlite:/nowhere/at/all.db", None), "cannot open the ledger's database"),
        (of("postgres://nobody@127.0.0.1:1/none", None), "cannot open the ledger's database"),
        (of("postgres://nobody@127.0.0.1:1/none", Some("a; drop")), "cannot be the name of a schema"),
    ] {
        let error: Error = PaymentService::start(options).await.unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
}

/// As on a full disk, SQLite rolls one transaction back by itself and refuses the commit of the next.
#[tokio::test]
async fn a_payment_that_sqlite_cannot_write_is_not_acknowledged_and_later_ones_are_booked() {
    let database = Database::sqlite();
    for commit in [Commit::Group, Commit::Each] {
        let service = Service::start(Options { commit, ..database.options(Dedup::UniqueKey) }).await;
        for statement in [
            "create table if not exists parents (id integer primary key)",
            "create table if not exists orphans (parent integer references parents (id) deferrable initially deferred)",
            "create trigger if not exists ends_it before insert on entries when new.amount_minor = 666
             begin select raise(rollback, 'full'); end",
            "create trigger if not exists cannot_commit after insert on entries when new.amount_minor = 777
             begin insert into orphans values (1); end",
        ] {
            database.sql(statement).await;
        }
        for (reference, amount, status) in
            [("ended", "6.66", 500), ("not committed", "7.77", 500), ("good", "1.00", 200), ("better", "2.00", 200)]
        {
            let reference = &format!("{reference} {commit:?}");
            let answer = service.pay(&Payment { amount, ..Payment::of(reference) }).await;
            assert_eq!(answer.status, status, "{reference}");
        }
        assert_eq!(service.booked(&format!("good {commit:?}")).await, [100]);
        service.stop().await;
    }
    assert_eq!(database.sql("select count(*) from entries").await, Some(4), "what was acknowledged, and nothing else");
}
