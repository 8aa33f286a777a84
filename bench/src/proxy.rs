//! This proxy compared with Toxiproxy, HAProxy and no proxy: the same bytes through each of them, in one run.

mod traffic;
mod variants;

use std::{net::SocketAddr, time::Instant};

use anyhow::Context as _;
use tokio::runtime::Builder;

use self::{
    traffic::{Server, Workload},
    variants::{Programs, Variant},
};
use crate::{
    process::ChildProcess,
    samples::{Samples, rotated},
    settings::Settings,
};

/// The new connections of one sample, each with one request.
const CONNECTIONS: u32 = 15_000;
/// The requests of one sample over kept connections.
const REQUESTS: u32 = 60_000;
/// The downloads of one sample.
const DOWNLOADS: u32 = 24;
/// The connections or requests in flight.
const IN_FLIGHT: u32 = 32;
/// The downloads in flight.
const STREAMS: u32 = 4;
/// The open connections of the larger sample of memory, if the process may have as many file descriptors.
const OPEN_MAX: u64 = 10_000;

/// Measures and prints the tables.
pub(crate) fn measure(settings: &Settings) -> anyhow::Result<()> {
    let programs = Programs::find(&settings.paylab)?;
    let variants = programs.available();
    let server = Server::start()?;
    let open = connections_allowed()?;
    let mut samples = Samples::new(settings.samples.as_deref());
    for round in 0..settings.rounds {
        for workload in [Workload::Close, Workload::Keep, Workload::Bulk] {
            for variant in rotated(&variants, round) {
                record_traffic(&mut samples, &programs, variant, workload, &server)?;
            }
        }
        for variant in rotated(&variants, round) {
            record_memory(&mut samples, &programs, variant, &server, open)?;
        }
        eprintln!("round {} of {} is done", round + 1, settings.rounds);
    }
    print_traffic(&samples, &variants, settings.rounds);
    print_memory(&samples, &variants, open);
    print_ratios(&samples, &variants);
    Ok(())
}

/// Raises the limit of file descriptors, and returns how many connections can be open: each takes two descriptors, in this process
/// as client and server, and in the proxy.
fn connections_allowed() -> anyhow::Result<u32> {
    const OTHER_DESCRIPTORS: u64 = 400;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum },
    )?;
    let room = limit.maximum.map_or(OPEN_MAX, |most| most.saturating_sub(OTHER_DESCRIPTORS) / 2);
    Ok(u32::try_from(room.min(OPEN_MAX))?)
}

fn record_traffic(
    samples: &mut Samples,
    programs: &Programs,
    variant: Variant,
    workload: Workload,
    server: &Server,
) -> anyhow::Result<()> {
    let (process, address) = programs.start(variant, server.address)?;
    let (count, in_flight, units) = match workload {
        Workload::Close => (CONNECTIONS, IN_FLIGHT, f64::from(CONNECTIONS)),
        Workload::Keep => (REQUESTS, IN_FLIGHT, f64::from(REQUESTS)),
        Workload::Bulk => (DOWNLOADS, STREAMS, f64::from(DOWNLOADS) * traffic::BULK_GB),
    };
    let before_s = cpu_s(process.as_ref())?;
    let begun = Instant::now();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(traffic::send_all(address, workload, count, in_flight));
    result.with_context(|| format!("{}, {}", variant.name(), workload.name()))?;
    let took_s = begun.elapsed().as_secs_f64();
    samples.record(variant.name(), &format!("{} per_s", workload.name()), units / took_s)?;
    let cpu_s = cpu_s(process.as_ref())? - before_s;
    samples.record(variant.name(), &format!("{} cpu_us", workload.name()), cpu_s * 1e6 / units)
}

fn record_memory(
    samples: &mut Samples,
    programs: &Programs,
    variant: Variant,
    server: &Server,
    open: u32,
) -> anyhow::Result<()> {
    let (Some(process), address) = programs.start(variant, server.address)? else { return Ok(()) };
    for count in [1, open] {
        let connections =
            open_connections(address, count).with_context(|| format!("{}, {count} open", variant.name()))?;
        samples.record(variant.name(), &format!("open {count} rss_mb"), process.rss_mb()?)?;
        drop(connections);
    }
    Ok(())
}

/// Opens connections, and sends a request and reads a response on each of them.
fn open_connections(address: SocketAddr, count: u32) -> anyhow::Result<Vec<std::net::TcpStream>> {
    let mut connections = Vec::new();
    for _ in 0..count {
        connections.push(traffic::open_connection(address, Workload::Keep)?);
    }
    Ok(connections)
}

fn cpu_s(process: Option<&ChildProcess>) -> anyhow::Result<f64> {
    process.map_or(Ok(0.0), ChildProcess::cpu_s)
}

fn print_traffic(samples: &Samples, variants: &[Variant], rounds: usize) {
    println!("### Proxies, {rounds} rounds, medians\n");
    println!("| proxy | connections/s | CPU us each | kept requests/s | CPU us each | GB/s | CPU s per GB |");
    println!("|---|---|---|---|---|---|---|");
    for variant in variants {
        let median = |measure: &str| samples.median(variant.name(), measure);
        println!(
            "| {} | {:.0} | {:.1} | {:.0} | {:.1} | {:.2} | {:.3} |",
            variant.name(),
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

fn print_memory(samples: &Samples, variants: &[Variant], open: u32) {
    println!("| proxy | MB at 1 open connection | MB at {open} | KB for each |");
    println!("|---|---|---|---|");
    for variant in variants.iter().filter(|variant| **variant != Variant::Direct) {
        let median = |count: u32| samples.median(variant.name(), &format!("open {count} rss_mb"));
        let each_kb = (median(open) - median(1)) * 1e3 / f64::from(open - 1);
        println!("| {} | {:.1} | {:.1} | {each_kb:.1} |", variant.name(), median(1), median(open));
    }
    println!();
}

fn print_ratios(samples: &Samples, variants: &[Variant]) {
    println!("| ratio, round by round | measured | target |");
    println!("|---|---|---|");
    let toxics = Variant::Toxics;
    let rows = [
        ("CPU per new connection", toxics, Variant::Toxiproxy, "close cpu_us", "at most 0.33"),
        ("CPU per kept-alive request", toxics, Variant::Toxiproxy, "keep cpu_us", "at most 0.55"),
        ("CPU per GB", toxics, Variant::Toxiproxy, "bulk cpu_us", "at most 0.2"),
        ("connections/s", toxics, Variant::Haproxy, "close per_s", "at least 0.95"),
        ("connections/s", toxics, Variant::Direct, "close per_s", "at least 0.75"),
        ("kept requests/s", toxics, Variant::Direct, "keep per_s", "at least 0.5"),
        // Two threads that are both busy carry 1.7 times as much as one if the CPU time of each connection rises by at most this.
        ("CPU per new connection", Variant::TwoThreads, Variant::Faults, "close cpu_us", "at most 1.18"),
        ("CPU per kept-alive request", Variant::TwoThreads, Variant::Faults, "keep cpu_us", "at most 1.18"),
    ];
    for (what, variant, to, measure, target) in rows.into_iter().filter(|row| variants.contains(&row.2)) {
        let ratio = samples.ratio(variant.name(), to.name(), measure);
        println!("| {what}, {} / {} | {ratio:.2} | {target} |", variant.name(), to.name());
    }
    println!();
}
