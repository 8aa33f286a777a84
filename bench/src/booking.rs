//! The service alone: group commit compared with one commit for each request, on both databases, with a new connection for each
//! booking.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use paylab_testbed::Durability;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    runtime::Builder,
};

use crate::{
    process::{ChildProcess, free_address},
    samples::{Samples, rotated},
    settings::Settings,
};

/// The bookings of one run.
const BOOKINGS: u32 = 10_000;
/// The bookings in flight.
const CONCURRENCY: u32 = 64;
const COMMITS: [&str; 2] = ["group", "each"];

pub(crate) fn measure(settings: &Settings) -> anyhow::Result<()> {
    let postgres = paylab_testbed::postgres(Durability::Durable);
    let mut samples = Samples::new(settings.samples.as_deref());
    let mut databases = vec!["sqlite"];
    databases.extend(postgres.as_ref().map(|_| "postgresql"));
    let variants: Vec<_> = databases.iter().flat_map(|database| COMMITS.map(|commit| (*database, commit))).collect();
    for round in 0..settings.rounds {
        for (database, commit) in rotated(&variants, round) {
            let directory = TempDir::new()?;
            let schema = format!("bench_{commit}_{round}");
            let arguments = match &postgres {
                Some(server) if database == "postgresql" => {
                    ["--database", server.url(), "--schema", &schema].map(str::to_owned).to_vec()
                }
                _ => vec!["--database".to_owned(), format!("sqlite:{}", directory.path().join("ledger.db").display())],
            };
            let rate = bookings_per_s(&settings.paylab, &arguments, commit)?;
            samples.record(&format!("{database} {commit}"), "bookings_per_s", rate)?;
        }
    }
    println!(
        "### Bookings a second, UniqueKey, {CONCURRENCY} in flight, new connections, {} rounds, medians\n",
        settings.rounds
    );
    println!("| database | group commit | one commit each | ratio |");
    println!("|---|---|---|---|");
    for database in databases {
        let (group, each) = (format!("{database} group"), format!("{database} each"));
        let median = |variant: &str| samples.median(variant, "bookings_per_s");
        let ratio = samples.ratio(&group, &each, "bookings_per_s");
        println!("| {database} | {:.0} | {:.0} | {ratio:.2} |", median(&group), median(&each));
    }
    println!();
    Ok(())
}

fn bookings_per_s(paylab: &Path, database: &[String], commit: &str) -> anyhow::Result<f64> {
    let listen = free_address()?;
    let arguments = ["payment-service", "--listen", &listen.to_string(), "--dedup", "UniqueKey", "--commit", commit];
    let mut service = ChildProcess::start(paylab, &[&arguments.map(str::to_owned)[..], database].concat())?;
    service.wait_ready(listen)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let begun = Instant::now();
    runtime.block_on(book_all(listen))?;
    Ok(f64::from(BOOKINGS) / begun.elapsed().as_secs_f64())
}

async fn book_all(service: SocketAddr) -> anyhow::Result<()> {
    let next = Arc::new(AtomicU32::new(0));
    let clients = (0..CONCURRENCY).map(|_| {
        let next = Arc::clone(&next);
        tokio::spawn(async move {
            while let Some(number) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < BOOKINGS) {
                book(service, number).await?;
            }
            anyhow::Ok(())
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await??;
    }
    Ok(())
}

async fn book(service: SocketAddr, number: u32) -> anyhow::Result<()> {
    const BODY: &str = r#"{"src":"bianca","dest":"marc","amount":"1.00"}"#;
    let mut stream = TcpStream::connect(service).await?;
    stream.set_nodelay(true)?;
    let request = format!(
        "POST /payments/ HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Payment-Idempotence-Key: bench.{number}\r\nConnection: close\r\n\r\n{BODY}",
        BODY.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut response = Vec::with_capacity(256);
    stream.read_to_end(&mut response).await?;
    anyhow::ensure!(response.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&response));
    Ok(())
}
