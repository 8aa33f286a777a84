//! Bytes and the ends of both sides pass unchanged, and the boundaries of a request are found in whatever pieces its bytes
//! arrive.

mod support;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use paylab_core::{
    fault::point::Point,
    witness::record::{BytesReason, End, Protocol},
};
use paylab_part::listen::everywhere;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use support::{Ending, Lab, OK, OK_LAST, always, pay, rules, soon};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const CHUNKED: &str = "POST / HTTP/1.1\r\nPaylab-Attempt: 7/2\r\nTransfer-Encoding: chunked\r\n\r\n\
                       3;x=\"y\"\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nSum: 19\r\n\r\n";
const CHUNKED_OK: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nbooked\r\n0\r\nX: y\r\n\r\n";

#[tokio::test]
async fn without_a_fault_every_byte_passes_and_the_connection_ends_cleanly() {
    for (request, answer) in
        [(pay(7, 2).as_str(), OK_LAST), (CHUNKED, CHUNKED_OK), (CHUNKED, OK), (&pay(7, 2), CHUNKED_OK)]
    {
        let lab = Lab::passing().await;
        let (mut client, mut service) = lab.deliver(request).await;
        service.send(answer).await;
        drop(service);
        client.expect(answer).await;
        client.ends_with(Ending::Eof).await;
        let line = lab.only_line().await;
        assert_eq!(
            (line.end, line.status, line.protocol, line.forwarded_whole),
            (End::Relayed, Some(200), Protocol::Http1, true)
        );
        assert_eq!((line.bytes_up, line.bytes_down), (request.len() as u64, answer.len() as u64));
        assert_eq!((line.fault, line.rst_client_ok, line.rst_service_ok), (None, None, None));
        let counters = lab.counters().await;
        assert_eq!((counters.bytes_up, counters.bytes_down), (request.len() as u64, answer.len() as u64));
        assert_eq!((counters.requests, counters.attempts, counters.unintended_resets), (1, 1, 0));
        assert_eq!(counters.responses, [("2xx".to_owned(), 1)].into());
    }
}

#[tokio::test]
async fn without_rules_everything_passes_and_nothing_is_recorded() {
    let lab = Lab::start().await;
    let (mut client, mut service) = lab.deliver(&pay(7, 2)).await;
    service.send(OK_LAST).await;
    drop(service);
    assert_eq!(client.rest().await, (OK_LAST.into(), Ending::Eof));
    let (lines, footer) = lab.record().await;
    assert_eq!((lines.len(), footer.run_id, footer.requests), (0, None, 0));
    assert_eq!(lab.counters().await.requests, 1);
}

#[tokio::test]
async fn clients_of_both_families_reach_a_service_that_has_an_ipv6_address_only() {
    // A machine without IPv6 has nothing to show here.
    let Ok(service) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await else { return };
    let upstream = service.local_addr().unwrap();
    let lab = Lab::start_with(|options| {
        options.listen = Some(everywhere(0));
        options.upstream = Some(upstream.to_string().parse().unwrap());
    })
    .await;
    let request = pay(7, 2);
    for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
        let mut client = soon("a connection", TcpStream::connect((ip, lab.address.port()))).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        let (mut dialled, _) = soon("a dialled connection", service.accept()).await.unwrap();
        let mut seen = vec![0; request.len()];
        soon("the request", dialled.read_exact(&mut seen)).await.unwrap();
        assert_eq!(seen, request.as_bytes());
        dialled.write_all(OK_LAST.as_bytes()).await.unwrap();
        drop(dialled);
        let mut answer = String::new();
        soon("the answer", client.read_to_string(&mut answer)).await.unwrap();
        assert_eq!(answer, OK_LAST);
    }
}

#[tokio::test]
async fn a_request_and_a_response_in_single_bytes_are_one_exchange() {
    let lab = Lab::passing().await;
    for (request, answer) in [(pay(7, 2).as_str(), OK), (CHUNKED, CHUNKED_OK)] {
        let mut client = lab.client().await;
        for byte in request.bytes() {
            client.send([byte]).await;
        }
        let mut service = lab.service().await;
        service.expect(request).await;
        for byte in answer.bytes() {
            service.send([byte]).await;
        }
        client.expect(answer).await;
        drop(client);
        service.ends_with(Ending::Eof).await;
    }
    assert!(lab.record().await.0.iter().all(|line| line.end == End::Relayed && line.attempt == 2));
}

#[tokio::test]
async fn pipelined_requests_are_all_forwarded_though_the_client_has_ended_its_side() {
    let lab = Lab::passing().await;
    let mut client = lab.client().await;
    client.send([pay(1, 1), pay(2, 1), "unfinished".to_owned()].concat()).await;
    client.half_close().await;
    let mut service = lab.service().await;
    for payment in 1..=2 {
        service.expect(pay(payment, 1)).await;
        service.send(OK).await;
        client.expect(OK).await;
    }
    service.expect("unfinished").await;
    service.ends_with(Ending::Eof).await;
    drop(service);
    client.ends_with(Ending::Eof).await;
    let payments: Vec<_> = lab.record().await.0.iter().map(|line| line.bytes_reason).collect();
    assert_eq!(payments, [None, None, Some(BytesReason::HeadCut)]);
}

#[tokio::test]
async fn pipelined_requests_are_forwarded_one_after_the_other() {
    let lab = Lab::passing().await;
    let mut client = lab.client().await;
    client.send([pay(1, 1), CHUNKED.into(), pay(3, 1)].concat()).await;
    let mut service = lab.service().await;
    for request in [pay(1, 1), CHUNKED.into(), pay(3, 1)] {
        service.expect(request).await;
        service.send(OK).await;
        client.expect(OK).await;
    }
    let (lines, _) = lab.record().await;
    assert_eq!(lines.iter().map(|line| (line.payment, line.nth)).collect::<Vec<_>>(), [(1, 1), (7, 2), (3, 3)]);
}

#[tokio::test]
async fn empty_lines_behind_a_message_belong_to_the_next_one_or_pass_at_the_end() {
    for ending in ["client", "service"] {
        let lab = Lab::passing().await;
        let (mut client, mut service) = lab.deliver(&pay(1, 1)).await;
        service.send(format!("{OK}\r\n")).await;
        client.expect(OK).await;
        client.send("\r\n").await;
        // A client that says nothing but that has no request in flight.
        lab.drained().await;
        client.send(pay(2, 1)).await;
        service.expect(format!("\r\n{}", pay(2, 1))).await;
        service.send(format!("{OK}\r\n")).await;
        client.expect(format!("\r\n{OK}")).await;
        if ending == "client" {
            client.send("\r\n").await;
            client.half_close().await;
            service.expect("\r\n").await;
            service.ends_with(Ending::Eof).await;
            drop(service);
        } else {
            drop(service);
        }
        client.expect("\r\n").await;
        client.ends_with(Ending::Eof).await;
        drop(client);
        let lines = lab.record().await.0;
        assert!(lines.iter().all(|line| line.bytes_reason.is_none() && line.status == Some(200)), "{ending}");
        assert_eq!(lines.len(), 2, "{ending}");
    }
}

#[tokio::test]
async fn responses_without_a_body_do_not_delay_the_next_request() {
    let lab = Lab::passing().await;
    let mut client = lab.client().await;
    client.send("HEAD / HTTP/1.1\r\n\r\n").await;
    let mut service = lab.service().await;
    service.expect("HEAD / HTTP/1.1\r\n\r\n").await;
    service.send("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n").await;
    client.expect("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n").await;
    for answer in ["HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"] {
        client.send("GET / HTTP/1.1\r\n\r\n").await;
        service.expect("GET / HTTP/1.1\r\n\r\n").await;
        service.send(answer).await;
        client.expect(answer).await;
    }
    let (lines, _) = lab.record().await;
    assert_eq!(lines.iter().map(|line| line.status).collect::<Vec<_>>(), [Some(200), Some(204), Some(304)]);
}

#[tokio::test]
async fn a_client_that_awaits_100_continue_gets_it_and_only_the_final_response_counts() {
    let lab = Lab::passing().await;
    let head = "PUT / HTTP/1.1\r\nPaylab-Attempt: 7/2\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    let (mut client, mut service) = lab.deliver(head).await;
    for interim in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"] {
        service.send(interim).await;
        client.expect(interim).await;
    }
    client.send("abc").await;
    service.expect("abc").await;
    service.send(OK).await;
    client.expect(OK).await;
    let line = lab.only_line().await;
    assert_eq!((line.status, line.bytes_down, line.forwarded_whole), (Some(200), OK.len() as u64, true));
}

#[tokio::test]
async fn a_client_that_sends_head_and_body_in_two_segments_is_served() {
    let lab = Lab::passing().await;
    let request = pay(7, 2);
    let (head, body) = request.split_at(request.len() - 10);
    let (mut client, mut service) = lab.deliver(head).await;
    client.send(body).await;
    service.expect(body).await;
    service.send(OK).await;
    client.expect(OK).await;
    assert!(lab.only_line().await.forwarded_whole);
}

#[tokio::test]
async fn a_client_that_ends_its_side_after_its_request_still_gets_the_response() {
    let lab = Lab::passing().await;
    let (mut client, mut service) = lab.deliver(&pay(7, 2)).await;
    client.half_close().await;
    service.ends_with(Ending::Eof).await; // The end of the client's side has reached the service.
    service.send(OK).await;
    assert_eq!(client.rest().await, (OK.into(), Ending::Eof));
    assert_eq!(lab.only_line().await.end, End::Relayed);
}

#[tokio::test]
async fn a_response_that_ends_with_the_stream_passes_whole() {
    let lab = Lab::passing().await;
    let (mut client, mut service) = lab.deliver(&pay(7, 2)).await;
    service.send("HTTP/1.0 200 OK\r\n\r\nas long as it takes").await;
    drop(service);
    assert_eq!(client.rest().await, (b"HTTP/1.0 200 OK\r\n\r\nas long as it takes".into(), Ending::Eof));
    assert_eq!(lab.only_line().await.end, End::Relayed);
}

#[tokio::test]
async fn an_early_response_passes_while_the_body_still_comes() {
    let lab = Lab::passing().await;
    let head = "POST / HTTP/1.1\r\nPaylab-Attempt: 7/2\r\nContent-Length: 1000000\r\n\r\n";
    let too_large = "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let (mut client, mut service) = lab.deliver(head).await;
    service.send(too_large).await;
    client.expect(too_large).await;
    client.send("more").await;
    service.expect("more").await;
    drop(service);
    client.ends_with(Ending::Eof).await;
    drop(client);
    let line = lab.only_line().await;
    assert_eq!((line.end, line.status, line.forwarded_whole), (End::Relayed, Some(413), false));
}

#[tokio::test]
async fn tls_http_2_and_noise_pass_as_bytes_and_are_recorded_as_bytes() {
    // Without requests these points do not exist.
    let faults = vec![always("reset", Point::BeforeRequest), always("late", Point::AfterResponse)];
    let hello = b"\x16\x03\x01\x00\x04\x01\x00\x00\x00".as_slice();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice();
    for bytes in [hello, preface, b"\0\0\0", b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n"] {
        let lab = Lab::start().await;
        lab.put(&rules("run-1", faults.clone())).await;
        let mut client = lab.client().await;
        client.send(bytes).await;
        let mut service = lab.service().await;
        service.expect(bytes).await;
        service.send("answer").await;
        service.half_close().await;
        assert_eq!(client.rest().await, (b"answer".into(), Ending::Eof));
        client.send("more").await; // The client's side is still open.
        service.expect("more").await;
        client.half_close().await;
        service.ends_with(Ending::Eof).await;
        let line = lab.only_line().await;
        assert_eq!((line.protocol, line.end, line.at, line.coins.len()), (Protocol::Bytes, End::Relayed, None, 2));
        assert_eq!((line.payment, line.attempt, line.attributed, line.status), (0, 1, false, None));
        assert_eq!((line.bytes_up, line.bytes_down), (bytes.len() as u64 + 4, 6));
    }
}

#[tokio::test]
async fn bytes_can_be_reset_on_connect() {
    let lab = Lab::resetting(Point::Connect).await;
    let mut client = lab.client().await;
    client.send(b"\x16\x03\x01\x00").await;
    client.ends_with(Ending::Reset).await;
    let line = lab.only_line().await;
    assert_eq!((line.protocol, line.at, line.end), (Protocol::Bytes, Some(Point::Connect), End::Faulted));
    assert!(lab.was_not_dialled());
}

#[tokio::test]
async fn after_an_upgrade_the_bytes_of_the_connection_belong_to_the_same_request() {
    let lab = Lab::passing().await;
    let (mut client, mut service) =
        lab.deliver("GET /chat HTTP/1.1\r\nPaylab-Attempt: 7/2\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n").await;
    let switched = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nhello";
    service.send(switched).await;
    client.expect(switched).await;
    client.send("GET /not/a/request HTTP/1.1\r\n\r\n").await;
    service.expect("GET /not/a/request HTTP/1.1\r\n\r\n").await;
    drop(client);
    service.ends_with(Ending::Eof).await;
    drop(service);
    let line = lab.only_line().await;
    assert_eq!((line.status, line.end, line.bytes_down), (Some(101), End::Relayed, switched.len() as u64));
}

#[tokio::test]
async fn a_large_body_passes_in_both_directions_through_bounded_buffers() {
    const LEN: usize = 3 << 20;
    let lab = Lab::passing().await;
    let request = format!("POST / HTTP/1.1\r\nPaylab-Attempt: 7/2\r\nContent-Length: {LEN}\r\n\r\n{}", "u".repeat(LEN));
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n{}", "d".repeat(LEN));
    let mut client = lab.client().await;
    let (sent, expected) = (request.clone(), answer.clone());
    let client = tokio::spawn(async move {
        client.send(sent).await;
        client.expect(expected).await;
    });
    let mut service = lab.service().await;
    service.expect(&request).await;
    service.send(&answer).await;
    client.await.unwrap();
    let line = lab.only_line().await;
    assert_eq!((line.bytes_up, line.bytes_down), (request.len() as u64, answer.len() as u64));
}

#[tokio::test]
async fn a_head_that_is_too_long_passes_as_bytes() {
    let lab = Lab::passing().await;
    let endless = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(110 * 1024));
    let mut client = lab.client().await;
    client.send(&endless).await;
    let mut service = lab.service().await;
    service.expect(&endless).await;
    drop((client, service));
    let line = lab.only_line().await;
    assert_eq!((line.protocol, line.bytes_reason), (Protocol::Bytes, Some(BytesReason::HeadTooLong)));
}

#[tokio::test]
async fn a_part_of_a_head_and_the_end_of_a_side_pass_as_bytes() {
    let lab = Lab::passing().await;
    let mut client = lab.client().await;
    client.send("echo this").await;
    client.half_close().await;
    let mut service = lab.service().await;
    assert_eq!(service.rest().await, (b"echo this".into(), Ending::Eof));
    service.send("echo this").await;
    drop(service);
    assert_eq!(client.rest().await, (b"echo this".into(), Ending::Eof));
}

#[tokio::test]
async fn random_bytes_from_both_sides_never_break_the_proxy() {
    const CONNECTIONS: usize = 150;
    let lab = Lab::start().await;
    lab.put(&rules("run-1", Point::ALL.map(|at| support::fault(&format!("{at:?}").to_lowercase(), 0.1, at)).to_vec()))
        .await;
    let noise = |seed| {
        let mut rng = SmallRng::seed_from_u64(seed);
        move |front: &[u8]| {
            let mut bytes = front.to_vec();
            bytes.extend((0..rng.random_range(0..200)).map(|_| rng.random::<u8>()));
            bytes
        }
    };
    let fronts: [&[u8]; 5] = [
        b"",
        b"POST / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
    ];
    // A client may be reset before the service has accepted what the proxy has dialled for it, so the two do not wait for each other.
    let services = async {
        let mut noise = noise(support::SEED);
        for index in 0.. {
            let mut service = lab.service().await;
            let _ = service.0.write_all(&noise(fronts[(index / 5) % fronts.len()])).await;
        }
    };
    let clients = async {
        let mut noise = noise(support::SEED + 1);
        for index in 0..CONNECTIONS {
            let mut client = lab.client().await;
            let _ = client.0.write_all(&noise(fronts[index % fronts.len()])).await;
            let _ = client.0.shutdown().await;
            client.rest().await;
        }
    };
    tokio::select! {
        () = services => {}
        () = clients => {}
    }
    lab.drained().await;
    let (lines, footer) = lab.record().await;
    assert!(footer.requests > 0 && lines.iter().all(|line| line.end != End::Intended));

    lab.put(&rules("run-2", vec![])).await;
    let (mut client, mut service) = lab.deliver(&pay(1, 1)).await;
    service.send(OK).await;
    client.expect(OK).await;
}
