//! A service of the user's own whose ledger is in a database, which a query reads: on a real PostgreSQL, a real MariaDB and SQLite.

use std::{net::SocketAddr, process::Output, sync::Mutex};

use paylab_testbed::{Durability, mariadb, mariadb::PASSWORD, postgres};
use serde_json::{Value, json};
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, any::install_default_drivers};

use crate::support::{
    binary::{self, command, experiment, paylab, printed, text},
    foreign::{Answer, Request, Shop, honest, start},
};

/// How a test's database is written to and read.
struct Ledger {
    /// Its URL, with everything in it.
    url: String,
    /// The URL as the file has it.
    written: &'static str,
    /// The type of the amount, and how an amount of 1.00 is written into it.
    amount: [&'static str; 2],
    /// The unit that the file names.
    unit: &'static str,
    /// A placeholder of a statement.
    placeholder: &'static str,
}

/// Every database that is there. Each holds amounts in another type.
fn ledgers() -> Vec<Ledger> {
    install_default_drivers();
    let file = tempfile::NamedTempFile::new().unwrap().into_temp_path().keep().unwrap();
    let sqlite = Ledger {
        url: format!("sqlite:{}", file.display()),
        written: "sqlite:{secret.file}",
        amount: ["INTEGER", "100"],
        unit: "minor",
        placeholder: "?",
    };
    let postgres = postgres(Durability::Fast).map(|server| Ledger {
        url: server.url().to_owned(),
        written: "{secret.ledger}",
        amount: ["NUMERIC(12, 4)", "1.0000"],
        unit: "major",
        placeholder: "$1",
    });
    let mariadb = mariadb().map(|server| Ledger {
        url: server.url("p%40ss%3A%2F%3F%23%5B%20%5D%25"),
        written: "mysql://tester:{secret.password}@127.0.0.1:{secret.port}/ledger",
        amount: ["DECIMAL(10, 2)", "1.00"],
        unit: "major",
        placeholder: "?",
    });
    [Some(sqlite), postgres, mariadb].into_iter().flatten().collect()
}

impl Ledger {
    /// Starts a service that books into a new table. If it forgets its keys, it pays twice.
    fn start(&self, table: &str, forgets: bool) -> SocketAddr {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut connection = runtime.block_on(AnyConnection::connect(&self.url)).unwrap();
        let ([kind, amount], placeholder) = (self.amount, self.placeholder);
        let create = format!("CREATE TABLE {table} (id VARCHAR(100), paid {kind}, currency CHAR(3))");
        runtime.block_on(sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut connection)).unwrap();
        let insert = format!("INSERT INTO {table} VALUES ({placeholder}, {amount}, 'eur')");
        let database = Mutex::new((runtime, connection));
        start(move |request: &Request, shop: &mut Shop| -> Answer {
            if forgets {
                shop.booked.iter_mut().for_each(|(key, _, _)| key.clear());
            }
            let before = shop.booked.len();
            let answer = honest(request, shop);
            for (_, reference, _) in &shop.booked[before..] {
                let (runtime, connection) = &mut *database.lock().unwrap();
                let insert = sqlx::query(AssertSqlSafe(insert.clone())).bind(reference.clone());
                runtime.block_on(insert.execute(connection)).unwrap();
            }
            answer
        })
    }

    /// An experiment of 40 payments that reads a table.
    fn file(&self, table: &str) -> String {
        let (url, unit) = (self.written, self.unit);
        experiment(&format!(
            r#"
  claim: ExactlyOnce
  seed: 42
  payments: {{count: 40}}
  client: {{idempotencyKey: PerPayment}}
  faults:
    - {{name: request-lost, probability: 0.3, reset: {{at: BeforeRequest}}}}
    - {{name: response-lost, probability: 0.3, reset: {{at: BeforeResponse}}}}
  target:
    url: http://127.0.0.1:1
    pay:
      post: /payments
      headers: {{Idempotency-Key: "{{key}}"}}
      json: {{reference: "{{reference}}", amount: "{{amount.minor}}"}}
    ledger:
      sql:
        url: "{url}"
        query: |
          select id as reference, paid, currency from {table} where id like '{{run}}-%' -- of the run
        {unit}: paid
        currency: currency
      settle: {{quiet: 20ms, within: 2s}}
"#
        ))
    }

    fn paylab(&self, arguments: &[&str], service: SocketAddr, file: &str) -> Output {
        let mut paylab = command(arguments);
        paylab.args(["--target", &format!("http://{service}")]);
        let (host, path) = self.url.rsplit_once(':').unwrap();
        assert!(!host.is_empty());
        paylab.env("PAYLAB_SECRET_LEDGER", &self.url).env("PAYLAB_SECRET_PASSWORD", PASSWORD);
        paylab.env("PAYLAB_SECRET_PORT", path.split('/').next().unwrap()).env("PAYLAB_SECRET_FILE", path);
        binary::with_input(&mut paylab, file)
    }
}

#[test]
fn a_query_reads_the_ledger_of_a_safe_and_of_a_broken_service_in_each_database() {
    for (number, ledger) in ledgers().into_iter().enumerate() {
        for (forgets, exit, verdict, reason) in [(false, 0, "Upheld", "ClaimHeld"), (true, 1, "Violated", "Duplicated")]
        {
            let table = format!("payments_{number}_{forgets}");
            let (service, file) = (ledger.start(&table, forgets), ledger.file(&table));
            let output = ledger.paylab(&["run", "-", "--output", "json"], service, &file);
            assert_eq!(output.status.code(), Some(exit), "{}: {}", ledger.url, printed(&output));
            let status: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!((&status["verdict"], &status["reason"]), (&json!(verdict), &json!(reason)), "{status}");
            assert_eq!(status["payments"]["booked"], json!(40), "{status}");
            let checked = ledger.paylab(&["check", "-"], service, &file);
            assert_eq!(checked.status.code(), Some(0), "{}", printed(&checked));
            for output in [output, checked] {
                assert!(!printed(&output).contains(PASSWORD), "{}", printed(&output));
            }
        }
    }
}

#[test]
fn what_a_database_refuses_is_said_with_its_own_words_and_no_secret() {
    for (number, ledger) in ledgers().into_iter().enumerate() {
        let table = format!("refusals_{number}");
        let (service, file) = (ledger.start(&table, false), ledger.file(&table));
        let told = |file: &str| {
            let output = ledger.paylab(&["check", "-"], service, file);
            assert_eq!(output.status.code(), Some(64), "{}", printed(&output));
            assert!(
                !printed(&output).contains(PASSWORD) && !printed(&output).contains("tester:"),
                "{}",
                printed(&output)
            );
            text(&output.stdout)
        };
        let missing = told(&file.replace(&table, "nowhere"));
        assert!(missing.contains("the ledger cannot be read") && missing.contains("nowhere"), "{missing}");
        let unnamed = told(&file.replace("as reference", "as other"));
        assert!(unnamed.contains("reference"), "{unnamed}");
        // A statement that writes is no row of a query, and the transaction could not write.
        let writing = told(&file.replace("select id as reference, paid, currency from", "delete from"));
        assert!(writing.contains("ledger cannot be read"), "{writing}");
        let unread = told(&file.replace("paid, currency", "'12,5' as paid, currency"));
        assert!(unread.contains("has \"12,5\" in paid, which is no amount"), "{unread}");
        let null = told(&file.replace("paid, currency", "null as paid, currency"));
        assert!(null.contains("has no paid"), "{null}");
    }
}

#[test]
fn the_url_of_a_database_is_replaced_and_never_shown() {
    let ledger = &ledgers()[0];
    let service = format!("http://{}", ledger.start("replaced", false));
    let file = ledger.file("replaced");
    let run = |arguments: &[&str], file: &str| paylab(&[&["run", "-", "--target", &service], arguments].concat(), file);
    // The secret of the file is not needed then.
    let output = run(&["--ledger-url", &ledger.url], &file);
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    let output = run(&[], &file);
    assert_eq!(output.status.code(), Some(64), "{}", printed(&output));
    assert!(text(&output.stderr).contains("PAYLAB_SECRET_FILE is not set"), "{}", printed(&output));
    for wrong in ["hunter2", "http://u:hunter2@127.0.0.1/x", "postgres://u:hunter2@127.0.0.1:99999999/x"] {
        let output = run(&["--ledger-url", wrong], &file);
        assert_eq!(output.status.code(), Some(2), "{}", printed(&output));
        assert!(!printed(&output).contains("hunter2"), "{}", printed(&output));
        assert!(printed(&output).contains("is not the URL of a database; use postgres://"), "{}", printed(&output));
    }
    // Nothing listens there.
    let output = run(&["--ledger-url", "postgres://u:hunter2@127.0.0.1:1/x"], &file);
    assert_eq!(output.status.code(), Some(2), "{}", printed(&output));
    assert!(printed(&output).contains("the PostgreSQL database: cannot be reached"), "{}", printed(&output));
    assert!(!printed(&output).contains("hunter2"), "{}", printed(&output));
}
