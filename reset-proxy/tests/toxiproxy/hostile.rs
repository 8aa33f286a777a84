//! Hostile input and overload: errors are clear, memory is bounded, and other proxies are not disturbed.

use std::{net::SocketAddr, time::Duration};

use paylab_core::duration_text::DurationText;
use reset_proxy::{Error, ResetProxy};
use rustix::process::{Resource, getrlimit};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use crate::{
    support::{Ending, Peer, loopback, options, refusing, soon},
    toxic_lab::{ToxicLab, address, busy_listener, connect, talk, toxic},
};

const MANY: usize = 10_000;
/// More bytes of one stream than sockets and a latency may hold, and far fewer than are sent.
const HELD_MAX: u64 = 64 * 1024 * 1024;

#[tokio::test]
async fn a_body_that_is_too_long_or_too_deep_is_refused() {
    let lab = ToxicLab::start().await;
    let address = lab.proxy_with([]).await;
    let long = format!("{{\"name\":\"{}\"}}", "x".repeat(17 * 1024 * 1024));
    assert_eq!(long_body(&lab, &long).await, Some(413));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let (status, answer) = lab.api_text("POST", "/populate", &deep).await;
    assert_eq!((status, answer["status"].clone()), (400, json!(400)));
    let (mut client, mut service) = lab.connection(address).await;
    talk(&mut client, &mut service).await;
}

/// Sends a long body. Returns the status of the response, which may arrive before the body was sent.
async fn long_body(lab: &ToxicLab, body: &str) -> Option<u16> {
    let mut peer = connect(lab.control).await;
    peer.send(format!("POST /proxies HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len())).await;
    // The server may stop reading before the end of the body.
    let _ = soon("a body", peer.0.write_all(body.as_bytes())).await;
    let mut head = [0; 12];
    for byte in &mut head {
        *byte = peer.next_byte().await?;
    }
    std::str::from_utf8(&head[9..]).ok()?.parse().ok()
}

#[tokio::test]
async fn ten_thousand_proxies_are_created_at_once_and_each_works() {
    let lab = ToxicLab::start().await;
    // Each proxy that listens needs a descriptor.
    let room = getrlimit(Resource::Nofile).maximum.map_or(MANY, |most| usize::try_from(most / 2).unwrap_or(MANY));
    // The kernel looks long for the last free ports of one address, and other tests need them.
    let proxy = |index: usize| {
        let listen = format!("127.0.{}.{}:0", 100 + index / 250, 1 + index % 250);
        json!({"name": format!("proxy {index}"), "listen": listen, "upstream": lab.upstream(), "enabled": index < room})
    };
    let all: Vec<_> = (0..MANY).map(proxy).collect();
    let created = lab.accepted("POST", "/populate", json!(all)).await;
    assert_eq!(created["proxies"].as_array().map(Vec::len), Some(MANY));
    let last = &created["proxies"][MANY.min(room) - 1];
    let (mut client, mut service) = greeted(&lab, address(last)).await;
    lab.accepted("DELETE", "/proxies/proxy%207", Value::Null).await;
    assert_eq!(
        lab.accepted("GET", "/proxies", Value::Null).await.as_object().map(serde_json::Map::len),
        Some(MANY - 1)
    );
    talk(&mut client, &mut service).await;
}

/// Opens a connection that has passed a greeting. With so many ports, a client of another program that knocks again at a port which it
/// had before may reach one of these proxies too, so the service's end is known by what it is sent.
async fn greeted(lab: &ToxicLab, proxy: SocketAddr) -> (Peer, Peer) {
    let mut client = connect(proxy).await;
    client.send("ping").await;
    loop {
        let mut service = lab.service().await;
        let mut seen = [0; 4];
        if soon("a greeting", service.0.read_exact(&mut seen)).await.is_ok() && seen == *b"ping" {
            return (client, service);
        }
    }
}

#[tokio::test]
async fn ten_thousand_toxics_on_one_proxy_pass_its_bytes() {
    let lab = ToxicLab::start().await;
    let kinds = ["noop", "latency", "slicer", "slow_close"];
    let toxics: Vec<_> = (0..MANY)
        .map(|index| json!({"name": format!("t{index}"), "type": kinds[index % 4], "stream": "upstream"}))
        .collect();
    let proxy = json!([{"name": "p", "listen": "127.0.0.1:0", "upstream": lab.upstream(), "toxics": toxics}]);
    let created = lab.accepted("POST", "/populate", proxy).await;
    let proxy = &created["proxies"][0];
    assert_eq!(proxy["toxics"].as_array().map(Vec::len), Some(MANY));
    let (mut client, mut service) = lab.connection(address(proxy)).await;
    talk(&mut client, &mut service).await;
    lab.remove("t5000").await;
    talk(&mut client, &mut service).await;
    lab.accepted("POST", "/reset", Value::Null).await;
    talk(&mut client, &mut service).await;
}

#[tokio::test]
async fn the_client_is_closed_when_the_upstream_refuses_or_does_not_answer_in_time() {
    let lab = ToxicLab::start_with(|options| options.dial_timeout = DurationText::from_ms(1500)).await;
    let (_socket, down) = refusing();
    let gone = lab.proxy_to("gone", down).await;
    let other = lab.proxy("other").await;
    let (mut neighbour, mut service) = lab.connection(other).await;
    connect(gone).await.ends_with(Ending::Eof).await;
    let (silent, _filler) = busy_listener().await;
    let slow = lab.proxy_to("slow", silent.local_addr().expect("bound")).await;
    let mut client = connect(slow).await;
    client.send("hello").await;
    client.sees_nothing().await;
    talk(&mut neighbour, &mut service).await;
    client.ends_with(Ending::Eof).await;
    for proxy in ["gone", "slow"] {
        let label = format!("proxy=\"{proxy}\"");
        assert_eq!(lab.metric("paylab_proxy_upstream_unreachable_total", &label).await, 1, "{proxy}");
    }
}

#[tokio::test]
async fn above_the_bound_of_connections_the_next_one_waits_and_other_proxies_work() {
    let lab = ToxicLab::start_with(|options| options.connections_max = 8).await;
    let (flooded, other) = (lab.proxy("flooded").await, lab.proxy("other").await);
    let mut inside = Vec::new();
    for _ in 0..8 {
        inside.push(lab.connection(flooded).await);
    }
    let mut waiting = Vec::new();
    for number in 100..200 {
        let mut client = connect(flooded).await;
        client.send(number.to_string()).await;
        waiting.push(client);
    }
    waiting[0].sees_nothing().await;
    assert_eq!(lab.metric("paylab_proxy_connections_open", "flooded").await, 8);
    let (mut client, mut service) = lab.connection(other).await;
    talk(&mut client, &mut service).await;
    for (client, service) in &mut inside {
        talk(client, service).await;
    }
    inside.clear();
    for _ in 0..waiting.len() {
        let mut service = lab.service().await;
        // Threads dial in any order.
        let number: usize = String::from_utf8(service.take(3).await).unwrap().parse().unwrap();
        service.send("pong").await;
        drop(service);
        let client = &mut waiting[number - 100];
        client.expect("pong").await;
        client.half_close().await;
    }
}

#[tokio::test]
async fn a_client_that_never_reads_costs_bounded_memory_and_delays_no_other_client() {
    let lab = ToxicLab::start().await;
    let plain = lab.proxy("plain").await;
    let slow = lab.proxy_with([toxic("latency", "downstream", json!({"latency": 1}))]).await;
    let stuck = lab.proxy("stuck").await;
    let nothing = toxic("bandwidth", "downstream", json!({}));
    lab.accepted("POST", "/proxies/stuck/toxics", nothing).await;
    for proxy in [plain, slow, stuck] {
        let (client, mut service) = lab.connection(proxy).await;
        let chunk = vec![b'x'; 1024 * 1024];
        let mut sent = 0;
        // Until the service cannot send for a second.
        while let Ok(count) = timeout(Duration::from_secs(1), service.0.write(&chunk)).await {
            sent += count.expect("the proxy keeps the connection") as u64;
            assert!(sent < HELD_MAX, "{sent} bytes were taken although the client does not read");
        }
        let other = lab.proxy(&format!("beside {proxy}")).await;
        let (mut neighbour, mut other_service) = lab.connection(other).await;
        talk(&mut neighbour, &mut other_service).await;
        drop(client);
    }
}

#[tokio::test]
async fn a_request_that_breaks_off_does_not_block_the_api() {
    let lab = ToxicLab::start().await;
    let mut halves = Vec::new();
    for _ in 0..50 {
        let mut half = connect(lab.control).await;
        half.send("POST /proxies HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"name\":").await;
        halves.push(half);
    }
    let address = lab.proxy_with([]).await;
    let (mut client, mut service) = lab.connection(address).await;
    talk(&mut client, &mut service).await;
    for half in halves {
        half.reset();
    }
    assert_eq!(lab.api("GET", "/proxies", Value::Null).await.1.as_object().map(serde_json::Map::len), Some(1));
}

#[tokio::test]
async fn at_shutdown_connections_are_closed_and_not_reset() {
    let mut lab = ToxicLab::start().await;
    let address = lab.proxy_that_closes("p", 14).await;
    lab.add(toxic("latency", "upstream", json!({"latency": 600_000}))).await;
    let (mut client, mut service) = lab.connection(address).await;
    client.send("waiting").await;
    lab.stop().await;
    client.ends_with(Ending::Eof).await;
    service.ends_with(Ending::Eof).await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nothing listens");
}

#[tokio::test]
async fn a_file_of_proxies_is_loaded_with_their_toxics_or_refused_with_its_path() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("toxiproxy.json");
    let mut options = options(loopback());
    options.toxiproxy.config = Some(path.clone());
    for (text, reason) in [
        (None, "No such file or directory (os error 2)"),
        (Some("[{\"name\": \"p\"}]"), "missing required field: upstream at proxy 1"),
        (Some("{}"), "bad request body: the body must be a list of proxies"),
    ] {
        if let Some(text) = text {
            std::fs::write(&path, text).expect("a file");
        }
        let refused = ResetProxy::start(options.clone()).await.map(|_| ());
        let expected = format!("--config {}: {reason}", path.display());
        assert!(matches!(&refused, Err(error @ Error::Config { .. }) if error.to_string() == expected), "{refused:?}");
    }
    let proxies =
        json!([{"name": "p", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1", "toxics": [{"type": "latency"}]}]);
    std::fs::write(&path, proxies.to_string()).expect("a file");
    let lab = ToxicLab::start_with(|options| options.toxiproxy.config = Some(path)).await;
    assert_eq!(lab.accepted("GET", "/proxies/p/toxics", Value::Null).await[0]["type"], json!("latency"));
}
