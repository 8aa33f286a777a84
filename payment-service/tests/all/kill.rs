//! `kill -9` several times under load, on both databases: acknowledged payments are in the ledger, unless the mode acknowledges before
//! it books. The service is this test program, started again as a process of its own.

use std::{
    collections::HashSet,
    env,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use paylab_core::{duration_text::DurationText, targets::ours::Dedup};
use payment_service::{PaymentService, options::Options};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Notify,
};
use tokio_util::sync::CancellationToken;

use crate::support::{Database, Payment, on_each_database, soon};

const ROUNDS: u32 = 5;
const CLIENTS: u32 = 16;
/// In each round the service is killed after this many acknowledged payments.
const ACKNOWLEDGED: usize = 200;

const DATABASE_ENV: &str = "PAYLAB_KILL_DATABASE";
const SCHEMA_ENV: &str = "PAYLAB_KILL_SCHEMA";
const DEDUP_ENV: &str = "PAYLAB_KILL_DEDUP";
const READY: &str = "serving at ";

/// Not a test, but the process that is killed. Without the variables of [`Victim::start`] there is nothing to serve.
#[tokio::test]
async fn victim() {
    let Ok(url) = env::var(DATABASE_ENV) else { return };
    let dedup: Dedup = serde_json::from_str(&env::var(DEDUP_ENV).unwrap()).unwrap();
    let base = Database::sqlite().options(dedup);
    let processing_time = DurationText::from_ms(if dedup == Dedup::AckThenApply { 20 } else { 0 });
    let options = Options { database: url.into(), schema: env::var(SCHEMA_ENV).ok(), processing_time, ..base };
    let service = PaymentService::start(options).await.unwrap();
    println!("\n{READY}{}", service.address());
    service.serve(CancellationToken::new()).await.unwrap();
}

/// A service as a process of its own.
struct Victim {
    process: Child,
    address: SocketAddr,
}

impl Victim {
    fn start(database: &Database, dedup: Dedup) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "kill::victim", "--nocapture"]).stdout(Stdio::piped());
        command.env(DATABASE_ENV, &database.url).env(DEDUP_ENV, serde_json::to_string(&dedup).unwrap());
        if let Some(schema) = &database.schema {
            command.env(SCHEMA_ENV, schema);
        }
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let address = lines.find_map(|line| line.strip_prefix(READY)?.parse().ok()).expect("the victim serves");
        Self { process, address }
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Pays until the service is killed, and returns the acknowledged payments.
async fn pay_until_killed(victim: Victim, round: u32) -> HashSet<String> {
    let (address, done) = (victim.address, Arc::new(Notify::new()));
    let (next, acknowledged) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let clients = (0..CLIENTS).map(|_| {
        let (done, next, acknowledged) = (Arc::clone(&done), Arc::clone(&next), Arc::clone(&acknowledged));
        tokio::spawn(async move {
            let mut mine = HashSet::new();
            loop {
                let reference = format!("{round}/{}", next.fetch_add(1, Ordering::Relaxed));
                if !is_acknowledged(address, &reference).await {
                    return mine;
                }
                mine.insert(reference);
                if acknowledged.fetch_add(1, Ordering::Relaxed) as usize + 1 == ACKNOWLEDGED {
                    done.notify_one();
                }
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    soon("acknowledgements", done.notified()).await;
    victim.kill();
    let mine = soon("the clients", futures::future::join_all(clients)).await;
    mine.into_iter().flat_map(Result::unwrap).collect()
}

/// False when the service is no longer there.
async fn is_acknowledged(address: SocketAddr, reference: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(address).await else { return false };
    let mut answer = Vec::new();
    let sent = stream.write_all(Payment::of(reference).request().as_bytes()).await;
    let read = stream.read_to_end(&mut answer).await;
    sent.is_ok() && read.is_ok() && answer.starts_with(b"HTTP/1.1 20")
}

/// How many payments were acknowledged and are not in the ledger, after all the kills.
async fn lost(database: &Database, dedup: Dedup) -> usize {
    let mut acknowledged = HashSet::new();
    for round in 0..ROUNDS {
        let seen = pay_until_killed(Victim::start(database, dedup), round).await;
        assert!(seen.len() >= ACKNOWLEDGED);
        acknowledged.extend(seen);
    }
    let service = database.serve(dedup).await;
    let (entries, _) = service.ledger().await;
    for entry in &entries {
        acknowledged.remove(entry.reference.as_deref().unwrap());
    }
    service.ask("DELETE", "/payments/").await;
    service.stop().await;
    acknowledged.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_payments_survive_a_kill() {
    on_each_database(async |database| {
        for dedup in [Dedup::None, Dedup::UniqueKey, Dedup::Replay] {
            assert_eq!(lost(database, dedup).await, 0, "{dedup:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_payments_that_were_acknowledged_before_they_were_booked() {
    on_each_database(async |database| {
        let lost = lost(database, Dedup::AckThenApply).await;
        assert!(lost > 0, "{ROUNDS} kills must catch a payment between its 202 and its booking");
    })
    .await;
}
