//! Ten thousand kept connections that are idle: they take little memory, delay neither a drain nor a shutdown, and no fate is lost.
//!
//! The proxy runs in a process of its own, which is this test's program again, because a process may not have the descriptors of the
//! proxy's sockets and of their other ends.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    env, fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use paylab_core::{fault::point::Point, fault::spec::FaultSpec, witness::record::End};
use reset_proxy::ResetProxy;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{Ending, Lab, OK, Running, always, options, pay, rules, soon};
use tokio::{io::AsyncReadExt as _, task::spawn_blocking};
use tokio_util::sync::CancellationToken;

const CONNECTIONS_MAX: u64 = 10_000;
/// Descriptors that a process has beside those of the connections.
const OTHER_DESCRIPTORS: u64 = 200;
/// Every so manieth connection carries further requests.
const STEP: usize = 20;
/// The most memory that an idle connection may take, in bytes, also without optimization.
const BYTES_EACH_MAX: u64 = 4096;
/// Says to the process of the proxy where the service is.
const UPSTREAM: &str = "PAYLAB_TEST_UPSTREAM";
/// Begins the line in which the process of the proxy says where it listens.
const READY: &str = "listening ";

/// Each connection takes two descriptors of this process and two of the proxy's.
fn connections_allowed() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    limit.maximum.map_or(CONNECTIONS_MAX, |most| CONNECTIONS_MAX.min((most - OTHER_DESCRIPTORS) / 2))
}

/// Starts this program again as the proxy.
fn start_process(upstream: SocketAddr) -> (Child, SocketAddr, SocketAddr) {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "the_process_of_the_proxy", "--nocapture"]).env(UPSTREAM, upstream.to_string());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let ready = lines.find_map(|line| line.unwrap().strip_prefix(READY).map(str::to_owned)).unwrap();
    let (address, control) = ready.split_once(' ').unwrap();
    (child, address.parse().unwrap(), control.parse().unwrap())
}

/// The proxy, until its input ends.
#[tokio::test]
async fn the_process_of_the_proxy() {
    let Ok(upstream) = env::var(UPSTREAM) else { return };
    let mut options = options(upstream.parse().unwrap());
    options.connections_max = 16_384;
    let proxy = ResetProxy::start(options).await.unwrap();
    let (address, control) = (proxy.address().unwrap(), proxy.control_address());
    writeln!(io::stderr(), "{READY}{address} {control}").unwrap();
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(proxy.serve(shutdown.clone()));
    spawn_blocking(|| io::stdin().read(&mut [0])).await.unwrap().unwrap();
    shutdown.cancel();
    serving.await.unwrap().unwrap();
}

/// A lab with the proxy in its process, and the process's number.
async fn lab() -> (Lab, u32) {
    let mut number = 0;
    let lab = Lab::around(async |upstream| {
        let (mut child, address, control) = start_process(upstream);
        number = child.id();
        let shutdown = CancellationToken::new();
        let shut = shutdown.clone();
        let serving = tokio::spawn(async move {
            shut.cancelled().await;
            // Closes its input first.
            assert!(spawn_blocking(move || child.wait()).await.unwrap().unwrap().success());
            Ok(())
        });
        Running { address, control, shutdown, serving }
    });
    (lab.await, number)
}

fn resident_bytes(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    1024 * line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap()
}

#[tokio::test]
async fn ten_thousand_kept_connections_are_idle_and_each_of_them_still_meets_its_fate() {
    let connections = connections_allowed();
    let second = FaultSpec { attempts: Some(vec![2]), ..always("second", Point::BeforeResponse) };
    let (mut lab, process) = lab().await;
    lab.put(&rules("run-1", vec![second])).await;
    let mut kept = Vec::new();
    let mut before = 0;
    for payment in 0..connections {
        let (mut client, mut service) = lab.deliver(&pay(payment, 1)).await;
        service.send(OK).await;
        client.expect(OK).await;
        kept.push((client, service));
        if payment == 0 {
            before = resident_bytes(process);
        }
    }
    lab.drained().await;
    let counters = lab.counters().await;
    assert_eq!((counters.connections_open, counters.in_flight), (connections, 0));
    let bytes_each = resident_bytes(process).saturating_sub(before) / connections;
    assert!(bytes_each <= BYTES_EACH_MAX, "{bytes_each} bytes for each");

    let mut again = 0;
    for (payment, (client, service)) in kept.iter_mut().enumerate().step_by(STEP) {
        let attempt = if payment % (2 * STEP) == 0 { 2 } else { 3 };
        let request = pay(payment as u64, attempt);
        client.send(&request).await;
        service.expect(&request).await;
        service.send(OK).await;
        match attempt {
            2 => client.ends_with(Ending::Reset).await,
            _ => client.expect(OK).await,
        }
        again += 1;
    }
    let (lines, footer) = lab.record().await;
    assert_eq!((footer.requests, footer.connections, footer.lapsed), (connections + again, connections, 0));
    assert!(lines.iter().all(|line| (line.attempt == 2) == (line.end == End::Faulted)));
    // The others are still open. Nothing is in flight on them, so they do not delay the end.
    lab.shutdown.cancel();
    soon("the end of the proxy", &mut lab.serving).await.unwrap().unwrap();
    for (client, _service) in &mut kept {
        assert!(matches!(soon("the end", client.0.read(&mut [0])).await, Ok(0) | Err(_)));
    }
}
