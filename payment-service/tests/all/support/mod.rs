//! A payment service on a real database and a client that writes its bytes by hand. Every wait is bounded.

pub(crate) mod relay;

use std::{
    future::Future,
    net::SocketAddr,
    process,
    str::FromStr as _,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use paylab_core::{
    duration_text::DurationText,
    probability::Probability,
    targets::ours::{Dedup, MissingKey, OnDisconnect},
    witness::{
        ledger::{Entry, LedgerFooter, LedgerItem, ServiceCounters},
        seal::Sealer,
    },
};
use paylab_part::contract::{COUNTERS_PATH, KEY_HEADER, LEDGER_PATH, REFERENCE_HEADER, STATS_PATH};
use paylab_testbed::{Durability, postgres};
use payment_service::{
    Error, PaymentService, drop_schema,
    options::{Commit, Options},
};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, SqliteConnection, postgres::PgConnectOptions};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// An empty list of amounts.
pub(crate) const NOTHING: [i64; 0] = [];
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Awaits a future, with a timeout.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(WAIT_MAX, future).await.unwrap_or_else(|_| panic!("timed out while waiting for {what}"))
}

/// An empty database for one test.
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) schema: Option<String>,
    _directory: Option<TempDir>,
}

impl Database {
    pub(crate) fn sqlite() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let url = format!("sqlite:{}", directory.path().join("ledger.db").display());
        Self { url, schema: None, _directory: Some(directory) }
    }

    /// A schema on the server for tests, if there is one.
    pub(crate) fn postgres() -> Option<Self> {
        static SCHEMAS: AtomicU32 = AtomicU32::new(0);
        let url = postgres(Durability::Fast)?.url().to_owned();
        let schema = format!("service_{}_{}", process::id(), SCHEMAS.fetch_add(1, Ordering::Relaxed));
        Some(Self { url, schema: Some(schema), _directory: None })
    }

    /// Options for a service on this database that is as safe as the mode allows.
    pub(crate) fn options(&self, dedup: Dedup) -> Options {
        Options {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            database: self.url.as_str().into(),
            schema: self.schema.clone(),
            dedup,
            on_disconnect: OnDisconnect::Finish,
            processing_time: DurationText::from_ms(0),
            key_ttl: None,
            missing_key: MissingKey::Book,
            fail_after: Probability::NEVER,
            seed: 0,
            commit: Commit::Group,
        }
    }

    pub(crate) async fn serve(&self, dedup: Dedup) -> Service {
        Service::start(self.options(dedup)).await
    }

    /// Runs a statement on a connection of its own and returns the first column of the first row, if there is one.
    pub(crate) async fn sql(&self, statement: &str) -> Option<i64> {
        let statement = AssertSqlSafe(statement.to_owned());
        let row = if let Some(schema) = &self.schema {
            let options = PgConnectOptions::from_str(&self.url).expect("a URL").options([("search_path", schema)]);
            let mut connection = options.connect().await.expect("a connection");
            sqlx::query_scalar(statement).fetch_optional(&mut connection).await
        } else {
            let mut connection = SqliteConnection::connect(&self.url).await.expect("a connection");
            sqlx::query_scalar(statement).fetch_optional(&mut connection).await
        };
        row.expect("SQL that the database takes")
    }

    pub(crate) async fn remove(self) {
        if let Some(schema) = &self.schema {
            drop_schema(&self.url.as_str().into(), schema).await.expect("a schema can be dropped");
        }
    }
}

/// Runs a test on SQLite, then on PostgreSQL if there is a server.
pub(crate) async fn on_each_database(test: impl AsyncFn(&Database)) {
    for database in [Some(Database::sqlite()), Database::postgres()].into_iter().flatten() {
        test(&database).await;
        database.remove().await;
    }
}

/// A service that runs until it is stopped.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    shutdown: CancellationToken,
    serving: JoinHandle<Result<(), Error>>,
}

impl Service {
    pub(crate) async fn start(options: Options) -> Self {
        let service = PaymentService::start(options).await.expect("a service starts");
        let (address, shutdown) = (service.address(), CancellationToken::new());
        let serving = tokio::spawn(service.serve(shutdown.clone()));
        Self { address, shutdown, serving }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        soon("the end", self.serving).await.expect("no panic").expect("a clean end");
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        soon("a connection", TcpStream::connect(self.address)).await.expect("the service listens")
    }

    /// Sends bytes and reads the answer to its end.
    pub(crate) async fn send(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut stream = self.connect().await;
        soon("a write", stream.write_all(request.as_ref())).await.expect("the service takes it");
        Answer::read(stream).await
    }

    pub(crate) async fn ask(&self, method: &str, path: &str) -> Answer {
        self.send(format!("{method} {path} HTTP/1.0\r\n\r\n")).await
    }

    pub(crate) async fn pay(&self, payment: &Payment<'_>) -> Answer {
        self.send(payment.request()).await
    }

    /// Sends the same payment on several connections at once and counts the statuses.
    pub(crate) async fn pay_at_once(&self, payment: &Payment<'_>, copies: usize) -> Vec<u16> {
        let answers = futures::future::join_all((0..copies).map(|_| self.pay(payment))).await;
        let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        statuses.sort_unstable();
        statuses
    }

    pub(crate) async fn stats(&self) -> String {
        self.ask("GET", STATS_PATH).await.body
    }

    pub(crate) async fn counters(&self) -> ServiceCounters {
        serde_json::from_str(&self.ask("GET", COUNTERS_PATH).await.body).expect("counters")
    }

    /// The ledger, whose footer proves that it is whole.
    pub(crate) async fn ledger(&self) -> (Vec<Entry>, LedgerFooter) {
        read_ledger(&self.ask("GET", LEDGER_PATH).await.body)
    }

    /// The amounts booked under a reference, in cents.
    pub(crate) async fn booked(&self, reference: &str) -> Vec<i64> {
        let (entries, _) = self.ledger().await;
        let of = |entry: &&Entry| entry.reference.as_deref() == Some(reference);
        entries.iter().filter(of).map(|entry| entry.amount_minor).collect()
    }
}

/// Reads a ledger and checks its seal.
pub(crate) fn read_ledger(body: &str) -> (Vec<Entry>, LedgerFooter) {
    let (mut entries, mut sealer) = (Vec::new(), Sealer::default());
    for line in body.split_inclusive('\n') {
        match serde_json::from_str(line).expect("a line of the ledger") {
            LedgerItem::Entry(entry) => entries.push(entry),
            LedgerItem::Footer(footer) => {
                assert_eq!(footer.seal, sealer.seal(), "the footer seals the lines before it");
                assert!(body.ends_with(line), "the footer is the last line");
                return (entries, footer);
            }
        }
        sealer.add(line.as_bytes());
    }
    panic!("the ledger has no footer: {body:.200}");
}

/// A payment of bianca to marc.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Payment<'a> {
    pub(crate) key: Option<&'a str>,
    pub(crate) reference: &'a str,
    pub(crate) amount: &'a str,
}

impl<'a> Payment<'a> {
    pub(crate) const fn of(reference: &'a str) -> Self {
        Self { key: Some(reference), reference, amount: "1.00" }
    }

    pub(crate) fn request(&self) -> String {
        let key = self.key.map(|key| format!("{KEY_HEADER}: {key}\r\n")).unwrap_or_default();
        let reference = format!("{REFERENCE_HEADER}: {}\r\n", self.reference);
        post(&(key + &reference), &format!(r#"{{"src":"bianca","dest":"marc","amount":"{}"}}"#, self.amount))
    }
}

/// A request with these header lines and this body.
pub(crate) fn post(headers: &str, body: &str) -> String {
    let length = body.len();
    let json = "Content-Type: application/json";
    format!(
        "POST /payments/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{json}\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
}

/// An answer that was read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) async fn read(stream: TcpStream) -> Self {
        Self::read_after(Vec::new(), stream).await
    }

    /// The same, when its first bytes were read before.
    pub(crate) async fn read_after(mut bytes: Vec<u8>, mut stream: TcpStream) -> Self {
        soon("an answer", stream.read_to_end(&mut bytes)).await.expect("an answer to its end");
        let text = String::from_utf8(bytes).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text:?}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    pub(crate) fn has(&self, header: &str) -> bool {
        self.head.lines().any(|line| line == header)
    }

    /// The field that a refusal names.
    pub(crate) fn field(&self) -> Option<String> {
        let problem: serde_json::Value = serde_json::from_str(&self.body).expect("a problem");
        problem["field"].as_str().map(str::to_owned)
    }
}
