//! Large and slow things: a gigabyte in each direction, a client that reads a byte a second. Memory stays flat, no fate is lost, and a
//! drain has its bound.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{fs, sync::LazyLock, time::Duration};

use paylab_core::{fault::point::Point, fault::spec::FaultSpec, witness::record::End};
use paylab_part::contract::DRAIN_PATH;
use support::{Ending, Lab, OK, Peer, always, pay, rules};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

const GIGABYTE: u64 = 1_000_000_000;
/// Bytes repeat after so many; the number divides no size of a buffer, so a piece at the wrong place shows.
const PATTERN_LEN: u64 = 99_991;
/// The longest time for one transfer.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(300);
/// By how much the peak of memory may grow while gigabytes pass, in KiB.
const GROWTH_MAX_KIB: u64 = 48 * 1024;
/// More than sockets and proxy hold of a response that its client does not read.
const UNREAD_LEN: u64 = 64_000_000;
/// How long a client reads a byte a second, on a clock that does not make anybody wait.
const SLOW_S: u64 = 600;

/// The bytes of every body, twice, so that a piece of one length begins at each place.
static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let byte = |place: u64| ((place % PATTERN_LEN).wrapping_mul(2_654_435_761) >> 8).to_le_bytes()[0];
    (0..2 * PATTERN_LEN).map(byte).collect()
});

/// The bytes of a body from one place on, as many as the pattern is long.
fn bytes_at(place: u64) -> &'static [u8] {
    let begin = usize::try_from(place % PATTERN_LEN).unwrap();
    &PATTERN[begin..begin + usize::try_from(PATTERN_LEN).unwrap()]
}

/// Sends a body. An error is that of a connection that a fault has ended.
async fn send_body(stream: &mut TcpStream, len: u64) -> std::io::Result<()> {
    let mut sent = 0;
    while sent < len {
        let bytes = bytes_at(sent);
        let most = bytes.len().min(usize::try_from(len - sent).unwrap());
        sent += stream.write(&bytes[..most]).await? as u64;
    }
    Ok(())
}

/// Reads a body of at most `len` bytes from its byte `from` on, checks every byte, and returns how many there were.
async fn read_body(stream: &mut TcpStream, from: u64, len: u64) -> u64 {
    let mut bytes = vec![0; usize::try_from(PATTERN_LEN.min(len - from)).unwrap()];
    let mut at = from;
    while at < len {
        let most = bytes.len().min(usize::try_from(len - at).unwrap());
        match stream.read(&mut bytes[..most]).await {
            Ok(0) | Err(_) => break,
            Ok(count) => {
                assert!(bytes[..count] == bytes_at(at)[..count], "other bytes at {at}");
                at += count as u64;
            }
        }
    }
    at - from
}

fn head(attempt: u32, len: u64) -> String {
    format!("PUT / HTTP/1.1\r\nPaylab-Attempt: 7/{attempt}\r\nContent-Length: {len}\r\n\r\n")
}

fn answer(len: u64) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n")
}

/// A fault that takes effect on one attempt.
fn on_attempt(attempt: i32, at: Point) -> FaultSpec {
    FaultSpec { attempts: Some(vec![attempt]), ..always(&format!("on-{attempt}"), at) }
}

/// The peak of this process's memory so far.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

/// Sends a request with a long body as an attempt; returns how much of the body the service got, and its end of the connection.
async fn upload(lab: &Lab, attempt: u32) -> (u64, Peer, Peer) {
    let mut client = lab.client().await;
    client.send(head(attempt, GIGABYTE)).await;
    let mut service = lab.service().await;
    service.expect(head(attempt, GIGABYTE)).await;
    let passing = async { tokio::join!(send_body(&mut client.0, GIGABYTE), read_body(&mut service.0, 0, GIGABYTE)) };
    let (sent, seen) = timeout(TRANSFER_TIMEOUT, passing).await.expect("the upload ends");
    assert_eq!(sent.is_ok(), seen == GIGABYTE, "a client that is cut off notices");
    (seen, client, service)
}

/// Sends a request as an attempt, and a response with a long body; returns how much of the body the client got.
async fn download(lab: &Lab, attempt: u32) -> (u64, Peer) {
    let (mut client, mut service) = lab.deliver(&pay(7, attempt)).await;
    service.send(answer(GIGABYTE)).await;
    client.expect(answer(GIGABYTE)).await;
    let passing = async { tokio::join!(send_body(&mut service.0, GIGABYTE), read_body(&mut client.0, 0, GIGABYTE)) };
    let (_, seen) = timeout(TRANSFER_TIMEOUT, passing).await.expect("the download ends");
    (seen, client)
}

#[tokio::test]
async fn a_gigabyte_passes_in_each_direction_and_is_cut_where_a_fate_says() {
    let lab = Lab::start().await;
    lab.put(&rules("run-1", vec![on_attempt(2, Point::MidRequest), on_attempt(4, Point::MidResponse)])).await;
    let before_kib = peak_kib();

    let (seen, mut client, mut service) = upload(&lab, 1).await;
    assert_eq!(seen, GIGABYTE);
    service.send(OK).await;
    client.expect(OK).await;
    // What was in flight when the reset came may be lost to whoever reads, but nobody gets more than the half.
    let (seen, _client, _service) = upload(&lab, 2).await;
    assert!((1..=GIGABYTE / 2).contains(&seen), "{seen}");
    assert_eq!(download(&lab, 3).await.0, GIGABYTE);
    let (seen, _client) = download(&lab, 4).await;
    assert!((1..=GIGABYTE / 2).contains(&seen), "{seen}");

    let (mut lines, _) = lab.record().await;
    lines.sort_by_key(|line| line.attempt);
    let [up, down] = [head(1, GIGABYTE).len() as u64, answer(GIGABYTE).len() as u64];
    let (request, ok) = (pay(7, 1).len() as u64, OK.len() as u64);
    let recorded: Vec<_> = lines.iter().map(|line| (line.bytes_up, line.bytes_down, line.at, line.end)).collect();
    assert_eq!(
        recorded,
        [
            (up + GIGABYTE, ok, None, End::Relayed),
            (up + GIGABYTE / 2, 0, Some(Point::MidRequest), End::Faulted),
            (request, down + GIGABYTE, None, End::Relayed),
            (request, down + GIGABYTE / 2, Some(Point::MidResponse), End::Faulted),
        ]
    );
    let growth_kib = peak_kib() - before_kib;
    assert!(growth_kib < GROWTH_MAX_KIB, "{growth_kib} KiB");
}

#[tokio::test]
async fn a_long_chunk_and_a_body_that_ends_with_the_stream_pass_whole() {
    const CHUNKED_HEAD: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    const ENDLESS_HEAD: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
    let lab = Lab::passing().await;
    let (mut client, mut service) = lab.deliver(&pay(7, 1)).await;
    let chunk = format!("{UNREAD_LEN:x}\r\n");
    service.send(CHUNKED_HEAD).await;
    client.expect(CHUNKED_HEAD).await;
    for _ in 0..2 {
        let sending = async {
            service.send(&chunk).await;
            send_body(&mut service.0, UNREAD_LEN).await.unwrap();
            service.send("\r\n").await;
        };
        let reading = async {
            client.expect(&chunk).await;
            assert_eq!(read_body(&mut client.0, 0, UNREAD_LEN).await, UNREAD_LEN);
            client.expect("\r\n").await;
        };
        tokio::join!(sending, reading);
    }
    service.send("0\r\n\r\n").await;
    client.expect("0\r\n\r\n").await;

    // The same connection again: the end of the chunks was found.
    client.send(pay(8, 1)).await;
    service.expect(pay(8, 1)).await;
    let sending = async {
        service.send(ENDLESS_HEAD).await;
        send_body(&mut service.0, UNREAD_LEN).await.unwrap();
        service.half_close().await;
    };
    let reading = async {
        client.expect(ENDLESS_HEAD).await;
        assert_eq!(read_body(&mut client.0, 0, UNREAD_LEN).await, UNREAD_LEN);
        client.ends_with(Ending::Eof).await;
    };
    tokio::join!(sending, reading);
    drop(client);
    let (lines, _) = lab.record().await;
    let mut recorded: Vec<_> = lines.iter().map(|line| (line.payment, line.bytes_down, line.end)).collect();
    recorded.sort_by_key(|line| line.0);
    let framing = 2 * (chunk.len() + "\r\n".len()) + "0\r\n\r\n".len();
    let chunked = (CHUNKED_HEAD.len() + framing) as u64 + 2 * UNREAD_LEN;
    let endless = ENDLESS_HEAD.len() as u64 + UNREAD_LEN;
    assert_eq!(recorded, [(7, chunked, End::Relayed), (8, endless, End::Relayed)]);
}

/// The clock of this test stands still while anything happens, and jumps to the next timer when nothing does.
#[tokio::test(start_paused = true)]
async fn a_client_that_reads_a_byte_a_second_keeps_its_fate_and_delays_a_drain_no_longer_than_asked() {
    let lab = Lab::start_with(|options| options.threads = Some(1)).await;
    lab.put(&rules("run-1", vec![on_attempt(2, Point::MidResponse)])).await;
    for attempt in [1, 2] {
        let (mut client, mut service) = lab.deliver(&pay(7, attempt)).await;
        service.send(answer(UNREAD_LEN)).await;
        client.expect(answer(UNREAD_LEN)).await;
        let sending = tokio::spawn(async move { (send_body(&mut service.0, UNREAD_LEN).await, service) });
        for at in 0..SLOW_S {
            assert_eq!(read_body(&mut client.0, at, at + 1).await, 1);
            sleep(Duration::from_secs(1)).await;
        }
        assert!(!sending.is_finished(), "the sender waits for the client");
        assert_eq!(lab.counters().await.in_flight, 1);
        let asked = Instant::now();
        assert_eq!(lab.control("GET", &format!("{DRAIN_PATH}?timeout_ms=10000"), "").await.0, 503);
        assert!(asked.elapsed() < Duration::from_secs(11), "{:?}", asked.elapsed());

        let seen = SLOW_S + read_body(&mut client.0, SLOW_S, UNREAD_LEN).await;
        sending.await.unwrap().0.ok();
        let (lines, _) = lab.record().await;
        let line = lines.iter().find(|line| line.attempt == attempt).unwrap();
        let body = line.bytes_down - answer(UNREAD_LEN).len() as u64;
        match attempt {
            1 => assert_eq!((seen, body, line.end), (UNREAD_LEN, UNREAD_LEN, End::Relayed)),
            _ => {
                assert!(seen <= UNREAD_LEN / 2, "{seen}");
                assert_eq!((body, line.at, line.end), (UNREAD_LEN / 2, Some(Point::MidResponse), End::Faulted));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_a_client_that_hardly_reads() {
    let mut lab = Lab::start_with(|options| options.threads = Some(1)).await;
    let (client, mut service) = lab.deliver(&pay(7, 1)).await;
    service.send(answer(UNREAD_LEN)).await;
    let sending = tokio::spawn(async move { send_body(&mut service.0, UNREAD_LEN).await });
    let asked = Instant::now();
    lab.shutdown.cancel();
    (&mut lab.serving).await.unwrap().unwrap();
    let took = asked.elapsed();
    assert!((Duration::from_secs(10)..Duration::from_secs(13)).contains(&took), "{took:?}");
    assert!(sending.await.unwrap().is_err(), "the connection has ended");
    drop(client);
}
