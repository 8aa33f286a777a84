//! What curl, Node and Go accept is read as HTTP/1 in both directions, and struck. What cannot be read is passed on as bytes, so that
//! nothing waits for ever, and the record says why.

mod support;

use std::{io, time::Duration};

use paylab_core::{
    duration_text::DurationText,
    fault::point::Point,
    witness::record::{BytesReason, End, Protocol},
};
use rand::{RngExt, SeedableRng, rngs::SmallRng, seq::IndexedRandom};
use support::{Ending, Lab, OK, Peer, always, pay, rules, send_in_pieces, soon};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::tcp::WriteHalf,
};

/// A response with so many fields.
fn with_fields(count: usize) -> String {
    format!("HTTP/1.1 200 OK\r\n{}Content-Length: 6\r\n\r\nbooked", "X-Field: y\r\n".repeat(count - 1))
}

fn folded() -> String {
    "HTTP/1.1 200 OK\r\nX-Folded: a\r\n\tb\r\n  c\r\nContent-Length:\r\n 6\r\n\r\nbooked".to_owned()
}

fn long() -> String {
    format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\nContent-Length: 6\r\n\r\nbooked", "x".repeat(90_000))
}

/// Responses that can be read, though not by every reader.
fn unusual() -> [String; 5] {
    let bare = "HTTP/1.1 200 OK\nContent-Length: 6\n\nbooked".to_owned();
    [with_fields(135), with_fields(1000), folded(), long(), bare]
}

/// Responses whose end nobody knows.
fn broken() -> [(String, BytesReason); 6] {
    let text = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\nbooked");
    [
        ("220 mail.example ESMTP\r\n".to_owned(), BytesReason::NotHttp1),
        (text("no colon\r\nContent-Length: 6\r\n"), BytesReason::NotHttp1),
        (with_fields(1001), BytesReason::TooManyFields),
        (format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(110_000)), BytesReason::HeadTooLong),
        (text("Content-Length: 6\r\nContent-Length: 7\r\n"), BytesReason::LengthUnclear),
        (text("Transfer-Encoding: chunked\r\n"), BytesReason::ChunksBroken),
    ]
}

/// Sends in the background what may be more than the sockets on the way can hold.
async fn pass(from: &mut Peer, to: &mut Peer, text: &str) {
    tokio::join!(from.send(text), to.expect(text));
}

#[tokio::test]
async fn an_unusual_response_is_one_and_its_connection_goes_on() {
    for response in unusual() {
        for lab in [Lab::start().await, Lab::passing().await] {
            let (mut client, mut service) = lab.deliver(&pay(1, 1)).await;
            pass(&mut service, &mut client, &response).await;
            pass(&mut client, &mut service, &pay(2, 1)).await;
            pass(&mut service, &mut client, OK).await;
            let (lines, _) = lab.record().await;
            assert!(lines.iter().all(|line| line.status == Some(200) && line.bytes_reason.is_none()), "{response:.80}");
        }
    }
}

#[tokio::test]
async fn an_unusual_response_is_struck_at_its_point() {
    for response in unusual() {
        for at in [Point::BeforeResponse, Point::MidResponse, Point::AfterResponse] {
            let lab = Lab::resetting(at).await;
            let (mut client, mut service) = lab.deliver(&pay(1, 1)).await;
            let ((), (seen, ending)) = tokio::join!(service.send(&response), client.rest());
            assert_eq!(ending, Ending::Reset, "{at:?} {response:.80}");
            let wanted = match at {
                Point::BeforeResponse => 0..1,
                Point::MidResponse => 1..response.len(),
                _ => response.len()..response.len() + 1,
            };
            assert!(wanted.contains(&seen.len()), "{at:?} {response:.80}: {}", seen.len());
            let line = lab.only_line().await;
            assert_eq!(
                (line.end, line.status, line.bytes_reason),
                (End::Faulted, Some(200), None),
                "{at:?} {response:.80}"
            );
        }
    }
}

#[tokio::test]
async fn an_unusual_request_is_struck_before_it_is_forwarded() {
    let fields = |count: usize| {
        format!("POST / HTTP/1.1\r\n{}Paylab-Attempt: 7/2\r\nContent-Length: 2\r\n\r\nab", "X: y\r\n".repeat(count - 2))
    };
    let folded = "POST / HTTP/1.1\r\nX: y\r\n z\r\nPaylab-Attempt:\r\n 7/2\r\nContent-Length: 2\r\n\r\nab".to_owned();
    for request in [fields(140), fields(1000), folded] {
        let lab = Lab::resetting(Point::BeforeRequest).await;
        let mut client = lab.client().await;
        client.send(&request).await;
        client.ends_with(Ending::Reset).await;
        let line = lab.only_line().await;
        assert_eq!((line.payment, line.attempt, line.end), (7, 2, End::Faulted), "{request:.80}");
        assert!(lab.was_not_dialled());
    }
}

#[tokio::test]
async fn a_response_that_cannot_be_read_is_passed_on_with_all_that_follows() {
    for (response, reason) in broken() {
        for lab in [Lab::start().await, Lab::passing().await] {
            let (mut client, mut service) = lab.deliver(&pay(1, 1)).await;
            pass(&mut service, &mut client, &response).await;
            pass(&mut client, &mut service, &pay(2, 1)).await;
            pass(&mut service, &mut client, OK).await;
            drop(service);
            client.ends_with(Ending::Eof).await;
            drop(client);
            for line in lab.record().await.0 {
                assert_eq!((line.payment, line.bytes_reason, line.end), (1, Some(reason), End::Relayed));
            }
        }
    }
}

#[tokio::test]
async fn a_response_that_cannot_be_read_is_struck_at_once() {
    for (response, reason) in broken() {
        for at in [Point::AfterRequest, Point::BeforeResponse, Point::MidResponse, Point::AfterResponse] {
            let lab = Lab::resetting(at).await;
            let (mut client, mut service) = lab.deliver(&pay(1, 1)).await;
            let ((), (_, ending)) = tokio::join!(service.send(&response), client.rest());
            assert_eq!(ending, Ending::Reset, "{at:?} {reason:?}");
            let line = lab.only_line().await;
            assert_eq!((line.end, line.rst_client_ok), (End::Faulted, Some(true)), "{at:?} {reason:?}");
            let is_seen = at != Point::AfterRequest;
            assert_eq!(line.bytes_reason, is_seen.then_some(reason), "{at:?}");
        }
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_read_is_passed_on_and_the_record_says_why() {
    let chunks = "POST / HTTP/1.1\r\nPaylab-Attempt: 1/1\r\nTransfer-Encoding: chunked\r\n\r\nno chunk";
    for (request, protocol, reason) in [
        ("\x16\x03\x01 client hello", Protocol::Bytes, BytesReason::NotHttp1),
        ("POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", Protocol::Bytes, BytesReason::LengthUnclear),
        (chunks, Protocol::Http1, BytesReason::ChunksBroken),
    ] {
        let lab = Lab::passing().await;
        let (mut client, mut service) = lab.deliver(request).await;
        pass(&mut service, &mut client, "anything").await;
        pass(&mut client, &mut service, "more").await;
        drop(client);
        service.ends_with(Ending::Eof).await;
        drop(service);
        let line = lab.only_line().await;
        assert_eq!((line.protocol, line.bytes_reason), (protocol, Some(reason)), "{request:?}");
    }
}

#[tokio::test]
async fn the_limits_of_heads_can_be_set() {
    let lab = Lab::start_with(|options| options.head_fields_max = Some(16)).await;
    lab.put(&rules("run-1", vec![])).await;
    let (mut client, mut service) = lab.deliver(&pay(1, 1)).await;
    pass(&mut service, &mut client, &with_fields(17)).await;
    drop((client, service));
    assert_eq!(lab.only_line().await.bytes_reason, Some(BytesReason::TooManyFields));
}

/// How long the clients of these tests are silent before the service is dialled.
fn soon_first(options: &mut reset_proxy::options::Options) {
    options.service_first_after = Some(DurationText::from_ms(20));
}

#[tokio::test]
async fn a_service_that_speaks_first_is_passed_as_bytes_and_the_record_says_so() {
    for at in [None, Some(Point::BeforeRequest), Some(Point::BeforeResponse)] {
        let lab = Lab::start_with(soon_first).await;
        lab.put(&rules("run-1", at.map(|at| always("reset", at)).into_iter().collect())).await;
        let mut client = lab.client().await;
        let mut service = lab.service().await;
        pass(&mut service, &mut client, "220 mail.example ESMTP\r\n").await;
        pass(&mut client, &mut service, "EHLO client.example\r\n").await;
        pass(&mut service, &mut client, "250 mail.example\r\n").await;
        drop(client);
        service.ends_with(Ending::Eof).await;
        drop(service);
        let line = lab.only_line().await;
        assert_eq!((line.protocol, line.bytes_reason), (Protocol::Bytes, Some(BytesReason::ServiceFirst)), "{at:?}");
        assert_eq!((line.fault, line.end), (None, End::Relayed), "{at:?}");
    }
    let lab = Lab::start_with(soon_first).await;
    lab.put(&rules("run-1", vec![always("reset", Point::Connect)])).await;
    let mut client = lab.client().await;
    let mut service = lab.service().await;
    service.send("220 mail.example ESMTP\r\n").await;
    client.ends_with(Ending::Reset).await;
    assert_eq!(lab.only_line().await.end, End::Faulted);
}

#[tokio::test]
async fn a_client_that_is_silent_at_first_is_served_and_struck_as_any_other() {
    for at in [None, Some(Point::Connect), Some(Point::BeforeRequest), Some(Point::BeforeResponse)] {
        let lab = Lab::start_with(soon_first).await;
        lab.put(&rules("run-1", at.map(|at| always("reset", at)).into_iter().collect())).await;
        let mut client = lab.client().await;
        let mut service = lab.service().await;
        client.send(pay(7, 2)).await;
        match at {
            None => {
                service.expect(pay(7, 2)).await;
                pass(&mut service, &mut client, OK).await;
            }
            Some(Point::BeforeResponse) => {
                service.expect(pay(7, 2)).await;
                service.send(OK).await;
                client.ends_with(Ending::Reset).await;
            }
            Some(_) => client.ends_with(Ending::Reset).await,
        }
        let line = lab.only_line().await;
        assert_eq!((line.payment, line.attempt, line.protocol), (7, 2, Protocol::Http1), "{at:?}");
        assert_eq!((line.at, line.bytes_reason), (at, None));
    }
}

/// Each side waits for the other to take what it has sent, however short it is.
#[tokio::test]
async fn what_is_no_head_is_passed_on_though_it_comes_byte_by_byte() {
    async fn send_bytewise(peer: &mut Peer, text: &str) {
        peer.0.set_nodelay(true).expect("a socket");
        for byte in text.bytes() {
            peer.send([byte]).await;
            tokio::task::yield_now().await;
        }
    }
    let lab = Lab::passing().await;
    let mut client = lab.client().await;
    send_bytewise(&mut client, "EHLO client.example\r\n").await;
    lab.service().await.expect("EHLO client.example\r\n").await;
    let (mut client, mut service) = lab.deliver(&pay(1, 1)).await;
    send_bytewise(&mut service, "HTTP/1.1 2xx OK\r\n").await;
    client.expect("HTTP/1.1 2xx OK\r\n").await;
}

/// A head that comes byte by byte is not read again for each of its bytes.
#[tokio::test]
async fn a_long_head_in_single_bytes_takes_no_longer_than_its_bytes() {
    let lab = Lab::resetting(Point::BeforeRequest).await;
    let mut client = lab.client().await;
    client.0.set_nodelay(true).expect("a socket");
    let head = format!("POST / HTTP/1.1\r\nPaylab-Attempt: 7/2\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let sending = async {
        for byte in head.bytes() {
            client.send([byte]).await;
        }
        client.ends_with(Ending::Reset).await;
    };
    tokio::time::timeout(Duration::from_secs(30), sending).await.expect("the head is read");
}

/// The parts of random messages, most of which are as they should be.
const LINES: [&str; 12] = [
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: 5, 5\r\n",
    "Content-Length: -1\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close\r\n",
    "X: y\r\n",
    "X: y\n",
    " folded\r\n",
    "no colon\r\n",
    "X: \u{e9}\r\n",
    ": z\r\n",
];
const BODIES: [&str; 7] =
    ["", "hello", "5\r\nhello\r\n0\r\n\r\n", "5\nhello\n0\n\n", "zz", "0\r\nTrailer: t\r\n\r\n", "\r\n\r\n"];

fn random_message(random: &mut SmallRng, first_lines: &[&str]) -> Vec<u8> {
    let mut message = first_lines.choose(random).map(|line| line.as_bytes().to_vec()).unwrap_or_default();
    for _ in 0..random.random_range(0..4) {
        message.extend(LINES.choose(random).into_iter().flat_map(|line| line.bytes()));
    }
    message.extend(b"\r\n");
    message.extend(BODIES.choose(random).into_iter().flat_map(|body| body.bytes()));
    message
}

/// What a side does when it has sent everything.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    EndsItsSide,
    Waits,
}

/// Sends bytes in random pieces, and ends the side if it is to end.
async fn send(peer: &mut WriteHalf<'_>, bytes: &[u8], then: Then, mut random: SmallRng) -> io::Result<()> {
    send_in_pieces(peer, bytes, &mut random).await?;
    if then == Then::EndsItsSide { peer.shutdown().await } else { Ok(()) }
}

/// Both sides send their bytes, and the service ends. Returns what each has received, and how the connection of the client has ended.
async fn converse(lab: &Lab, (up, then): (&[u8], Then), down: &[u8], seed: u64) -> (Vec<u8>, Vec<u8>, Ending) {
    let mut client = lab.client().await;
    let (mut from_proxy, mut to_proxy) = client.0.split();
    let served = async {
        let mut service = lab.service().await;
        let (mut reading, mut writing) = service.0.split();
        let mut received = Vec::new();
        let send = send(&mut writing, down, Then::EndsItsSide, SmallRng::seed_from_u64(seed + 1));
        let _ = tokio::join!(reading.read_to_end(&mut received), send);
        received
    };
    let mut received = Vec::new();
    let send = send(&mut to_proxy, up, then, SmallRng::seed_from_u64(seed));
    // The system tells a reset once: to whoever writes or reads next.
    let (read, sent, at_service) = tokio::join!(from_proxy.read_to_end(&mut received), send, served);
    (received, at_service, if read.is_ok() && sent.is_ok() { Ending::Eof } else { Ending::Reset })
}

const RESPONSES: [&str; 4] = ["HTTP/1.1 200 OK\r\n", "HTTP/1.1 204 No\r\n", "HTTP/1.1 100 C\r\n", "220 hi\r\n"];

/// Whatever both sides send, and in whatever pieces: the connection ends, and what has arrived is what was sent, in its order.
#[tokio::test]
async fn nothing_hangs_and_no_byte_is_changed() {
    let requests = ["POST / HTTP/1.1\r\n", "GET / HTTP/1.0\r\n", "HEAD / HTTP/1.1\r\n", "junk\r\n"];
    let mut random = SmallRng::seed_from_u64(42);
    let lab = Lab::passing().await;
    for round in 0..1000 {
        let (up, down) = (random_message(&mut random, &requests), random_message(&mut random, &RESPONSES));
        let (at_client, at_service, _) =
            soon("the end of both sides", converse(&lab, (&up, Then::EndsItsSide), &down, round)).await;
        assert!(down.starts_with(&at_client), "{:?}", String::from_utf8_lossy(&at_client));
        assert!(up.starts_with(&at_service), "{:?}", String::from_utf8_lossy(&at_service));
    }
}

/// Whatever the service sends, and in whatever pieces: a fault that always strikes does, and no more than may pass has passed.
#[tokio::test]
async fn a_response_of_any_kind_is_struck() {
    let mut random = SmallRng::seed_from_u64(43);
    for at in [Point::BeforeResponse, Point::MidResponse, Point::AfterResponse] {
        let lab = Lab::resetting(at).await;
        for round in 0..300 {
            let down = random_message(&mut random, &RESPONSES);
            let (at_client, at_service, ending) =
                soon("the end of both sides", converse(&lab, (pay(round, 1).as_bytes(), Then::Waits), &down, round))
                    .await;
            let text = String::from_utf8_lossy(&down);
            assert_eq!(ending, Ending::Reset, "{at:?} {text:?}");
            assert!(down.starts_with(&at_client), "{at:?} {text:?}");
            // A service may answer before it has the whole request.
            assert!(pay(round, 1).as_bytes().starts_with(&at_service), "{at:?} {text:?}");
            // What comes before the final response is none of it.
            let none_of_it = at_client.is_empty() || at_client.starts_with(b"HTTP/1.1 100");
            assert!(at != Point::BeforeResponse || none_of_it, "{text:?}");
        }
    }
}
