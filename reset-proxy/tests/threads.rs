//! One thread and several: the same plan leaves the same record and the same totals, whichever thread relays a connection.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::net::SocketAddr;

use futures::{StreamExt as _, stream};
use paylab_core::{
    fault::point::Point,
    witness::record::{RecordFooter, RecordLine},
};
use paylab_part::contract::ProxyCounters;
use support::{Ending, Lab, OK_LAST, Peer, fault, pay, rules, soon};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

const PAYMENTS: u64 = 300;
/// With three faults, the attempts of all payments fill more than one block of the record's file.
const ATTEMPTS: u32 = 4;
const UNNAMED: u64 = 100;
const IN_FLIGHT: usize = 32;
const SEVERAL: u32 = 4;
const BARE: &str = "GET / HTTP/1.1\r\nHost: lab\r\n\r\n";

async fn lab(threads: u32) -> Lab {
    Lab::start_with(|options| options.threads = Some(threads)).await
}

/// Answers every request of every connection that the proxy dials, and then ends the connection.
async fn serve(lab: &Lab) {
    let serving = stream::repeat_with(|| lab.service()).buffer_unordered(1);
    let answered = serving.for_each_concurrent(IN_FLIGHT, async |mut service: Peer| {
        let mut seen = [0; 1024];
        if matches!(soon("a request", tokio::io::AsyncReadExt::read(&mut service.0, &mut seen)).await, Ok(1..)) {
            let _ = service.0.write_all(OK_LAST.as_bytes()).await;
        }
    });
    answered.await;
}

/// Sends a request on a connection of its own, and reads what comes back to the end.
async fn attempt(address: SocketAddr, request: &str) {
    let mut client = Peer(soon("a connection", TcpStream::connect(address)).await.unwrap());
    // A reset on connecting may come before the request is sent.
    let _ = client.0.write_all(request.as_bytes()).await;
    client.rest().await;
}

/// Everything that the proxy says after the plan was carried out with so many threads.
async fn evidence(threads: u32) -> (Vec<RecordLine>, RecordFooter, ProxyCounters) {
    let lab = lab(threads).await;
    let faults = vec![
        fault("request-lost", 0.3, Point::BeforeRequest),
        fault("answer-lost", 0.3, Point::BeforeResponse),
        fault("client-lost", 0.1, Point::AfterRequest),
    ];
    lab.put(&rules("run-1", faults)).await;
    let named = (0..PAYMENTS).flat_map(|payment| (1..=ATTEMPTS).map(move |attempt| pay(payment, attempt)));
    let clients = stream::iter(named.map(|request| (lab.address, request)))
        .for_each_concurrent(IN_FLIGHT, async |(address, request)| attempt(address, &request).await);
    tokio::select! {
        () = serve(&lab) => {}
        () = clients => {}
    }
    let (lines, footer) = lab.record().await;
    (lines, footer, lab.counters().await)
}

/// What a line says apart from its place among all others, and its times.
fn placeless(line: &RecordLine) -> RecordLine {
    RecordLine { seq: 0, t_us: 0, took_us: None, conn: 0, ..line.clone() }
}

fn is_complete(mut numbers: Vec<u64>) -> bool {
    numbers.sort_unstable();
    numbers.into_iter().eq(0..PAYMENTS * u64::from(ATTEMPTS))
}

#[tokio::test]
async fn several_threads_leave_the_record_and_the_totals_of_one() {
    let (one, one_footer, one_counters) = evidence(1).await;
    let (mut several, footer, counters) = evidence(SEVERAL).await;
    for lines in [&one, &several] {
        assert!(is_complete(lines.iter().map(|line| line.seq).collect()), "the numbers of the requests");
        assert!(is_complete(lines.iter().map(|line| line.conn).collect()), "the numbers of the connections");
    }
    several.sort_by_key(|line| line.seq);
    assert!(several.is_sorted_by_key(|line| line.t_us), "the numbers are in the order of time");
    let sorted = |lines: &[RecordLine]| {
        let mut lines: Vec<_> = lines.iter().map(placeless).collect();
        lines.sort_by_key(|line| (line.payment, line.attempt));
        lines
    };
    assert_eq!(sorted(&one), sorted(&several));
    let totals = |footer: RecordFooter| RecordFooter { seal: one_footer.seal.clone(), ..footer };
    assert_eq!(totals(footer), one_footer);
    assert!(counters.resets.len() == 3 && counters.unintended_resets == 0);
    assert_eq!(counters, one_counters);
}

#[tokio::test]
async fn connections_are_numbered_in_the_order_of_accepting() {
    let lab = lab(SEVERAL).await;
    lab.put(&rules("run-1", vec![])).await;
    let clients = async {
        for _ in 0..UNNAMED {
            attempt(lab.address, BARE).await;
        }
    };
    tokio::select! {
        () = serve(&lab) => {}
        () = clients => {}
    }
    let (mut lines, footer) = lab.record().await;
    lines.sort_by_key(|line| line.seq);
    // A request without a name is named after its connection, and each client waits for the one before.
    let seen: Vec<_> = lines.iter().map(|line| (line.seq, line.conn, line.payment, line.attempt)).collect();
    assert_eq!(seen, (0..UNNAMED).map(|number| (number, number, number, 1)).collect::<Vec<_>>());
    assert_eq!((footer.requests, footer.connections, footer.unattributed), (UNNAMED, UNNAMED, UNNAMED));
}

#[tokio::test]
async fn a_named_proxy_strikes_the_same_connections_with_any_number_of_threads() {
    let mut struck = Vec::new();
    for threads in [1, SEVERAL] {
        let lab = Lab::start_with(|options| {
            options.threads = Some(threads);
            options.toxiproxy.seed = Some(support::SEED);
        })
        .await;
        let toxic = r#"{"type":"reset_peer","stream":"upstream","toxicity":0.5}"#;
        let proxy = format!(r#"{{"name":"p","listen":"127.0.0.1:0","upstream":"{}"}}"#, lab.upstream());
        let (status, body) = lab.control("POST", "/proxies", &proxy).await;
        assert_eq!(status, 201, "{body}");
        let listen = serde_json::from_str::<serde_json::Value>(&body).unwrap()["listen"].as_str().unwrap().to_owned();
        assert_eq!(lab.control("POST", "/proxies/p/toxics", toxic).await.0, 200);
        let mut fates = Vec::new();
        let clients = async {
            for _ in 0..UNNAMED {
                let mut client = Peer(soon("a connection", TcpStream::connect(&listen)).await.unwrap());
                client.send(BARE).await;
                fates.push(client.rest().await.1);
            }
        };
        tokio::select! {
            () = serve(&lab) => {}
            () = clients => {}
        }
        struck.push(fates);
    }
    assert_eq!(struck[0], struck[1]);
    assert!(struck[0].contains(&Ending::Reset) && struck[0].contains(&Ending::Eof));
}
