//! This proxy beside Toxiproxy, HAProxy and no proxy at all: the same bytes through each, in one run.

mod peers;
mod traffic;

use std::{net::SocketAddr, time::Instant};

use anyhow::Context as _;
use tokio::runtime::Builder;

use crate::{
    Bench,
    process::Part,
    proxy::{
        peers::{Peer, Peers},
        traffic::{Kind, Server},
    },
    samples::{Samples, turned},
};

/// New connections of one sample, each with one request.
const CONNECTIONS: u32 = 15_000;
/// Requests of one sample over connections that stay.
const REQUESTS: u32 = 60_000;
/// Downloads of one sample.
const DOWNLOADS: u32 = 24;
/// In flight, of connections and of requests.
const IN_FLIGHT: u32 = 32;
/// Downloads in flight.
const STREAMS: u32 = 4;
/// Open connections of the larger sample of memory, if the process may have as many descriptors.
const OPEN: u64 = 10_000;

/// Measures and prints the tables.
pub(crate) fn measure(bench: &Bench) -> anyhow::Result<()> {
    let peers = Peers::find(&bench.paylab)?;
    let variants = peers.available();
    let server = Server::start()?;
    let open = open_connections()?;
    let mut samples = Samples::new(bench.samples.as_deref());
    for round in 0..bench.rounds {
        for kind in [Kind::Close, Kind::Keep, Kind::Bulk] {
            for peer in turned(&variants, round) {
                note_traffic(&mut samples, &peers, peer, kind, &server)?;
            }
        }
        for peer in turned(&variants, round) {
            note_memory(&mut samples, &peers, peer, &server, open)?;
        }
        eprintln!("round {} of {} is done", round + 1, bench.rounds);
    }
    print_traffic(&samples, &variants, bench.rounds);
    print_memory(&samples, &variants, open);
    print_ratios(&samples, &variants);
    Ok(())
}

/// A client's and a proxy's connection take two descriptors each.
fn open_connections() -> anyhow::Result<u32> {
    const OTHERS: u64 = 400;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum },
    )?;
    let room = limit.maximum.map_or(OPEN, |most| most.saturating_sub(OTHERS) / 2);
    Ok(u32::try_from(room.min(OPEN))?)
}

fn note_traffic(samples: &mut Samples, peers: &Peers, peer: Peer, kind: Kind, server: &Server) -> anyhow::Result<()> {
    let (part, address) = peers.start(peer, server.address)?;
    let (count, in_flight, units) = match kind {
        Kind::Close => (CONNECTIONS, IN_FLIGHT, f64::from(CONNECTIONS)),
        Kind::Keep => (REQUESTS, IN_FLIGHT, f64::from(REQUESTS)),
        Kind::Bulk => (DOWNLOADS, STREAMS, f64::from(DOWNLOADS) * traffic::BULK_GB),
    };
    let before_s = cpu_s(part.as_ref())?;
    let begun = Instant::now();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let asked = runtime.block_on(traffic::ask_all(address, kind, count, in_flight));
    asked.with_context(|| format!("{}, {}", peer.name(), kind.name()))?;
    let took_s = begun.elapsed().as_secs_f64();
    samples.note(peer.name(), &format!("{} per_s", kind.name()), units / took_s)?;
    let cpu_s = cpu_s(part.as_ref())? - before_s;
    samples.note(peer.name(), &format!("{} cpu_us", kind.name()), cpu_s * 1e6 / units)
}

fn note_memory(samples: &mut Samples, peers: &Peers, peer: Peer, server: &Server, open: u32) -> anyhow::Result<()> {
    let (Some(part), address) = peers.start(peer, server.address)? else { return Ok(()) };
    for count in [1, open] {
        let held = hold(address, count).with_context(|| format!("{}, {count} open", peer.name()))?;
        samples.note(peer.name(), &format!("open {count} rss_mb"), part.rss_mb()?)?;
        drop(held);
    }
    Ok(())
}

/// So many connections, each of which has had an answer.
fn hold(address: SocketAddr, count: u32) -> anyhow::Result<Vec<std::net::TcpStream>> {
    let mut held = Vec::new();
    for _ in 0..count {
        held.push(traffic::ask_once(address, Kind::Keep)?);
    }
    Ok(held)
}

fn cpu_s(part: Option<&Part>) -> anyhow::Result<f64> {
    part.map_or(Ok(0.0), Part::cpu_s)
}

fn print_traffic(samples: &Samples, variants: &[Peer], rounds: usize) {
    println!("### Proxies, {rounds} rounds, medians\n");
    println!("| proxy | connections/s | CPU us each | kept requests/s | CPU us each | GB/s | CPU s per GB |");
    println!("|---|---|---|---|---|---|---|");
    for peer in variants {
        let median = |measure: &str| samples.median(peer.name(), measure);
        println!(
            "| {} | {:.0} | {:.1} | {:.0} | {:.1} | {:.2} | {:.3} |",
            peer.name(),
            median("close per_s"),
            median("close cpu_us"),
            median("keep per_s"),
            median("keep cpu_us"),
            median("bulk per_s"),
            median("bulk cpu_us") / 1e6,
        );
    }
    println!();
}

fn print_memory(samples: &Samples, variants: &[Peer], open: u32) {
    println!("| proxy | MB at 1 open connection | MB at {open} | KB for each |");
    println!("|---|---|---|---|");
    for peer in variants.iter().filter(|peer| **peer != Peer::Direct) {
        let median = |count: u32| samples.median(peer.name(), &format!("open {count} rss_mb"));
        let each_kb = (median(open) - median(1)) * 1e3 / f64::from(open - 1);
        println!("| {} | {:.1} | {:.1} | {each_kb:.1} |", peer.name(), median(1), median(open));
    }
    println!();
}

fn print_ratios(samples: &Samples, variants: &[Peer]) {
    println!("| ratio, round by round | measured | target |");
    println!("|---|---|---|");
    let rows = [
        ("CPU per new connection", Peer::Toxiproxy, "close cpu_us", "at most 0.33"),
        ("CPU per kept-alive request", Peer::Toxiproxy, "keep cpu_us", "at most 0.67"),
        ("CPU per GB", Peer::Toxiproxy, "bulk cpu_us", "at most 0.2"),
        ("connections/s", Peer::Haproxy, "close per_s", "at least 0.95"),
        ("connections/s", Peer::Direct, "close per_s", "at least 0.75"),
        ("kept requests/s", Peer::Direct, "keep per_s", "at least 0.5"),
    ];
    for (what, to, measure, target) in rows.into_iter().filter(|row| variants.contains(&row.1)) {
        let ratio = samples.ratio(Peer::Toxics.name(), to.name(), measure);
        println!("| {what}, {} / {} | {ratio:.2} | {target} |", Peer::Toxics.name(), to.name());
    }
    println!();
}
