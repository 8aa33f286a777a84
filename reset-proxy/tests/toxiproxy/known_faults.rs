//! Known bugs of Toxiproxy that this proxy does not have. Each of these tests fails against Toxiproxy.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::{
    support::{Ending, Peer, soon},
    toxic_lab::{ToxicLab, busy_listener, connect, talk, toxic},
};

/// Opens this number of connections. Returns for each whether it is reset when the client sends.
async fn fates(lab: &ToxicLab, address: SocketAddr, count: usize) -> Vec<bool> {
    let mut fates = Vec::new();
    for _ in 0..count {
        let (mut client, mut service) = lab.connection(address).await;
        fates.push(is_reset(&mut client, &mut service).await);
    }
    fates
}

/// Whether the connection is reset when the client sends; otherwise the byte arrives.
async fn is_reset(client: &mut Peer, service: &mut Peer) -> bool {
    client.send("x").await;
    let reset = service.next_byte().await.is_none();
    if reset {
        client.ends_with(Ending::Reset).await;
    }
    reset
}

fn resets(toxicity: f64) -> Value {
    json!({"type": "reset_peer", "stream": "upstream", "toxicity": toxicity})
}

#[tokio::test]
async fn fault_1_a_reset_peer_that_does_not_fire_ends_no_connection_with_a_reset() {
    let lab = ToxicLab::start().await;
    let down = json!({"type": "reset_peer", "stream": "downstream", "toxicity": 0});
    let address = lab.proxy_with([resets(0.0), down]).await;
    let (mut client, mut service) = lab.connection(address).await;
    talk(&mut client, &mut service).await;
    service.send("last words").await;
    drop(service);
    client.expect("last words").await;
    client.ends_with(Ending::Eof).await;
    let (client, mut service) = lab.connection(address).await;
    drop(client);
    service.ends_with(Ending::Eof).await;
    assert_eq!(lab.metric("paylab_proxy_resets_total", "").await, 0);
}

#[tokio::test]
async fn fault_2_the_same_seed_resets_the_same_connections() {
    let mut seen = Vec::new();
    for seed in [7, 7, 8] {
        let lab = ToxicLab::seeded(seed).await;
        let address = lab.proxy_with([resets(0.3)]).await;
        seen.push(fates(&lab, address, 60).await);
    }
    assert_eq!(seen[0], seen[1]);
    assert_ne!(seen[0], seen[2]);
    let count = seen[0].iter().filter(|reset| **reset).count();
    assert!((8..=30).contains(&count), "{count} of 60 at 0.3");
}

#[tokio::test]
async fn fault_2_other_toxics_and_other_proxies_do_not_change_which_connections_are_reset() {
    let mut seen = Vec::new();
    for disturbed in [false, true] {
        let lab = ToxicLab::seeded(7).await;
        let address = lab.proxy_with([resets(0.5)]).await;
        if disturbed {
            lab.add(json!({"type": "latency", "toxicity": 0.5})).await;
            let other = lab.proxy("other").await;
            let (mut client, mut service) = lab.connection(other).await;
            talk(&mut client, &mut service).await;
        }
        seen.push(fates(&lab, address, 30).await);
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn fault_3_an_open_connection_keeps_its_random_decision_when_other_toxics_change() {
    let lab = ToxicLab::seeded(7).await;
    let address = lab.proxy_with([resets(0.5)]).await;
    let mut spared = Vec::new();
    for _ in 0..12 {
        let (mut client, mut service) = lab.connection(address).await;
        if !is_reset(&mut client, &mut service).await {
            spared.push((client, service));
        }
    }
    assert!((2..=10).contains(&spared.len()), "{} of 12 were spared", spared.len());
    for _ in 0..8 {
        lab.add(toxic("noop", "upstream", json!({}))).await;
        lab.change("reset_peer_upstream", json!({"attributes": {"timeout": 1}})).await;
        lab.remove("noop_upstream").await;
        for (client, service) in &mut spared {
            assert!(!is_reset(client, service).await, "its decision was drawn again");
        }
    }
}

#[tokio::test]
async fn fault_3_a_raised_toxicity_resets_more_connections_and_all_of_the_earlier_ones() {
    let mut seen = Vec::new();
    for toxicity in [0.2, 0.6] {
        let lab = ToxicLab::seeded(7).await;
        let address = lab.proxy_with([resets(toxicity)]).await;
        seen.push(fates(&lab, address, 40).await);
    }
    assert!(seen[0].iter().zip(&seen[1]).all(|(few, many)| *many || !few));
    assert_ne!(seen[0], seen[1]);
}

#[tokio::test]
async fn fault_4_a_slicer_without_attributes_passes_everything() {
    let lab = ToxicLab::start().await;
    let address =
        lab.proxy_with([toxic("slicer", "upstream", json!({})), toxic("slicer", "downstream", json!({}))]).await;
    let (mut client, mut service) = lab.connection(address).await;
    for _ in 0..3 {
        talk(&mut client, &mut service).await;
    }
}

#[tokio::test]
async fn fault_5_a_waiting_reset_peer_can_be_removed_and_releases_the_bytes_it_held() {
    let lab = ToxicLab::start().await;
    let address = lab.proxy_with([toxic("reset_peer", "upstream", json!({"timeout": 600_000}))]).await;
    let (mut client, mut service) = lab.connection(address).await;
    client.send("held").await;
    service.sees_nothing().await;
    lab.remove("reset_peer_upstream").await;
    service.expect("held").await;
    talk(&mut client, &mut service).await;
    let (mut client, mut service) = lab.connection(address).await;
    talk(&mut client, &mut service).await;
}

#[tokio::test]
async fn fault_6_a_reset_peer_added_to_an_open_connection_resets_it() {
    let lab = ToxicLab::start().await;
    for stream in ["upstream", "downstream"] {
        let address = lab.proxy(stream).await;
        let (mut client, mut service) = lab.connection(address).await;
        talk(&mut client, &mut service).await;
        let path = format!("/proxies/{stream}/toxics");
        lab.accepted("POST", &path, json!({"type": "reset_peer", "stream": stream})).await;
        if stream == "upstream" {
            client.send("again").await;
        } else {
            service.send("again").await;
        }
        client.ends_with(Ending::Reset).await;
        service.ends_with(Ending::Reset).await;
    }
}

#[tokio::test]
async fn fault_7_a_peer_that_has_ended_its_side_still_receives() {
    let lab = ToxicLab::start().await;
    let plain = lab.proxy("plain").await;
    let slow = ["upstream", "downstream"].map(|stream| toxic("latency", stream, json!({"latency": 20})));
    let delayed = lab.proxy_with(slow).await;
    for address in [plain, delayed] {
        let (mut client, mut service) = lab.connection(address).await;
        client.send("the request").await;
        client.half_close().await;
        service.expect("the request").await;
        service.ends_with(Ending::Eof).await;
        service.send("the response").await;
        drop(service);
        client.expect("the response").await;
        client.ends_with(Ending::Eof).await;
    }
}

#[tokio::test]
async fn fault_8_a_slow_dial_delays_no_other_connection() {
    let lab = ToxicLab::start().await;
    let (busy, filler) = busy_listener().await;
    let address = lab.proxy_to("p", busy.local_addr().expect("bound")).await;
    let mut slow = connect(address).await;
    lab.until_metric("paylab_proxy_connections_open", r#"proxy="p""#, 1).await;
    let (first_in_queue, _) = busy.accept().await.expect("the filler");
    let mut quick = connect(address).await;
    quick.send("quick").await;
    let mut first = Peer(soon("a dialled connection", busy.accept()).await.expect("a connection").0);
    first.expect("quick").await;
    slow.send("slow").await;
    let mut second = Peer(soon("the dial that was slow", busy.accept()).await.expect("a connection").0);
    second.expect("slow").await;
    drop((filler, first_in_queue));
}

#[tokio::test]
async fn fault_9_a_toxicity_outside_0_to_1_is_refused() {
    let lab = ToxicLab::start().await;
    lab.proxy_with([json!({"type": "latency", "toxicity": 0.5})]).await;
    for toxicity in [7.5, -1.0, 1.000_001] {
        let text = format!("bad request body: toxicity must be from 0 to 1, not {toxicity}");
        let refused = (400, json!({"error": text, "status": 400}));
        let body = json!({"name": "n", "type": "latency", "toxicity": toxicity});
        assert_eq!(lab.api("POST", "/proxies/p/toxics", body.clone()).await, refused);
        assert_eq!(lab.api("PATCH", "/proxies/p/toxics/latency_downstream", body).await, refused);
    }
    let toxics = lab.accepted("GET", "/proxies/p/toxics", Value::Null).await;
    assert_eq!((toxics.as_array().map(Vec::len), &toxics[0]["toxicity"]), (Some(1), &json!(0.5)));
}

#[tokio::test]
async fn fault_10_an_interim_response_is_not_the_response() {
    let lab = ToxicLab::start().await;
    let address = lab.proxy_with([toxic("reset_peer", "downstream", json!({}))]).await;
    let (mut client, mut service) = lab.connection(address).await;
    client.send("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n").await;
    service.send("HTTP/1.1 100 Con").await;
    service.send("tinue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n").await;
    client.expect("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n").await;
    client.send("body").await;
    service.expect("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody").await;
    service.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    client.ends_with(Ending::Reset).await;
    service.ends_with(Ending::Reset).await;
}

#[tokio::test]
async fn fault_10_bytes_that_are_not_http_are_a_response_from_their_first_byte() {
    let lab = ToxicLab::start().await;
    let address = lab.proxy_with([toxic("reset_peer", "downstream", json!({}))]).await;
    for answer in ["+", "HTTP/2 is another protocol", "HTTP/1.1 101 Switching Protocols\r\n\r\n"] {
        let (mut client, mut service) = lab.connection(address).await;
        service.send(answer).await;
        client.ends_with(Ending::Reset).await;
    }
}
