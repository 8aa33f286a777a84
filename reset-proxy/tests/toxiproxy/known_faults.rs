//! What Toxiproxy does wrong and its users have learnt to live with. Each of these fails where it is done as there.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::{
    support::{Ending, Peer, soon},
    world::{World, busy_listener, connect, talk, toxic},
};

/// Which of so many new connections are reset when the client speaks.
async fn fates(world: &World, address: SocketAddr, count: usize) -> Vec<bool> {
    let mut fates = Vec::new();
    for _ in 0..count {
        let (mut client, mut service) = world.link(address).await;
        fates.push(is_reset(&mut client, &mut service).await);
    }
    fates
}

/// Whether the connection is reset when the client speaks; otherwise its word arrives.
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
    let world = World::start().await;
    let down = json!({"type": "reset_peer", "stream": "downstream", "toxicity": 0});
    let address = world.poisoned([resets(0.0), down]).await;
    let (mut client, mut service) = world.link(address).await;
    talk(&mut client, &mut service).await;
    service.send("last words").await;
    drop(service);
    client.expect("last words").await;
    client.ends_with(Ending::Eof).await;
    let (client, mut service) = world.link(address).await;
    drop(client);
    service.ends_with(Ending::Eof).await;
    assert_eq!(world.metric("paylab_proxy_resets_total", "").await, 0);
}

#[tokio::test]
async fn fault_2_the_same_seed_gives_the_same_fates() {
    let mut seen = Vec::new();
    for seed in [7, 7, 8] {
        let world = World::seeded(seed).await;
        let address = world.poisoned([resets(0.3)]).await;
        seen.push(fates(&world, address, 60).await);
    }
    assert_eq!(seen[0], seen[1]);
    assert_ne!(seen[0], seen[2]);
    let count = seen[0].iter().filter(|reset| **reset).count();
    assert!((8..=30).contains(&count), "{count} of 60 at 0.3");
}

#[tokio::test]
async fn fault_2_other_toxics_and_other_proxies_do_not_change_the_fates() {
    let mut seen = Vec::new();
    for disturbed in [false, true] {
        let world = World::seeded(7).await;
        let address = world.poisoned([resets(0.5)]).await;
        if disturbed {
            world.add(json!({"type": "latency", "toxicity": 0.5})).await;
            let other = world.proxy("other").await;
            let (mut client, mut service) = world.link(other).await;
            talk(&mut client, &mut service).await;
        }
        seen.push(fates(&world, address, 30).await);
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn fault_3_a_live_connection_keeps_its_fate_when_other_toxics_change() {
    let world = World::seeded(7).await;
    let address = world.poisoned([resets(0.5)]).await;
    let mut spared = Vec::new();
    for _ in 0..12 {
        let (mut client, mut service) = world.link(address).await;
        if !is_reset(&mut client, &mut service).await {
            spared.push((client, service));
        }
    }
    assert!((2..=10).contains(&spared.len()), "{} of 12 were spared", spared.len());
    for _ in 0..8 {
        world.add(toxic("noop", "upstream", json!({}))).await;
        world.change("reset_peer_upstream", json!({"attributes": {"timeout": 1}})).await;
        world.remove("noop_upstream").await;
        for (client, service) in &mut spared {
            assert!(!is_reset(client, service).await, "its fate was drawn again");
        }
    }
}

#[tokio::test]
async fn fault_3_a_raised_toxicity_adds_connections_and_spares_none_that_was_struck() {
    let mut struck = Vec::new();
    for toxicity in [0.2, 0.6] {
        let world = World::seeded(7).await;
        let address = world.poisoned([resets(toxicity)]).await;
        struck.push(fates(&world, address, 40).await);
    }
    assert!(struck[0].iter().zip(&struck[1]).all(|(few, many)| *many || !few));
    assert_ne!(struck[0], struck[1]);
}

#[tokio::test]
async fn fault_4_a_slicer_without_attributes_passes_everything() {
    let world = World::start().await;
    let address =
        world.poisoned([toxic("slicer", "upstream", json!({})), toxic("slicer", "downstream", json!({}))]).await;
    let (mut client, mut service) = world.link(address).await;
    for _ in 0..3 {
        talk(&mut client, &mut service).await;
    }
}

#[tokio::test]
async fn fault_5_a_sleeping_reset_peer_can_be_removed_and_gives_back_what_it_held() {
    let world = World::start().await;
    let address = world.poisoned([toxic("reset_peer", "upstream", json!({"timeout": 600_000}))]).await;
    let (mut client, mut service) = world.link(address).await;
    client.send("held").await;
    service.sees_nothing().await;
    world.remove("reset_peer_upstream").await;
    service.expect("held").await;
    talk(&mut client, &mut service).await;
    let (mut client, mut service) = world.link(address).await;
    talk(&mut client, &mut service).await;
}

#[tokio::test]
async fn fault_6_a_reset_peer_added_to_a_live_connection_resets_it() {
    let world = World::start().await;
    for stream in ["upstream", "downstream"] {
        let address = world.proxy(stream).await;
        let (mut client, mut service) = world.link(address).await;
        talk(&mut client, &mut service).await;
        let path = format!("/proxies/{stream}/toxics");
        world.obeyed("POST", &path, json!({"type": "reset_peer", "stream": stream})).await;
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
async fn fault_7_who_ends_its_side_still_hears_the_other() {
    let world = World::start().await;
    let plain = world.proxy("plain").await;
    let slow = ["upstream", "downstream"].map(|stream| toxic("latency", stream, json!({"latency": 20})));
    let delayed = world.poisoned(slow).await;
    for address in [plain, delayed] {
        let (mut client, mut service) = world.link(address).await;
        client.send("all I have to say").await;
        client.half_close().await;
        service.expect("all I have to say").await;
        service.ends_with(Ending::Eof).await;
        service.send("and this is the answer").await;
        drop(service);
        client.expect("and this is the answer").await;
        client.ends_with(Ending::Eof).await;
    }
}

#[tokio::test]
async fn fault_8_a_slow_dial_delays_no_other_connection() {
    let world = World::start().await;
    let (busy, filler) = busy_listener().await;
    let address = world.proxy_to("p", busy.local_addr().expect("bound")).await;
    let mut slow = connect(address).await;
    world.until_metric("paylab_proxy_connections_open", r#"proxy="p""#, 1).await;
    let (in_the_way, _) = busy.accept().await.expect("the filler");
    let mut quick = connect(address).await;
    quick.send("quick").await;
    let mut first = Peer(soon("a dialled connection", busy.accept()).await.expect("a connection").0);
    first.expect("quick").await;
    slow.send("slow").await;
    let mut second = Peer(soon("the dial that was slow", busy.accept()).await.expect("a connection").0);
    second.expect("slow").await;
    drop((filler, in_the_way));
}

#[tokio::test]
async fn fault_9_a_toxicity_beyond_0_to_1_is_refused() {
    let world = World::start().await;
    world.poisoned([json!({"type": "latency", "toxicity": 0.5})]).await;
    for toxicity in [7.5, -1.0, 1.000_001] {
        let text = format!("bad request body: toxicity must be from 0 to 1, not {toxicity}");
        let refused = (400, json!({"error": text, "status": 400}));
        let body = json!({"name": "n", "type": "latency", "toxicity": toxicity});
        assert_eq!(world.api("POST", "/proxies/p/toxics", body.clone()).await, refused);
        assert_eq!(world.api("PATCH", "/proxies/p/toxics/latency_downstream", body).await, refused);
    }
    let toxics = world.obeyed("GET", "/proxies/p/toxics", Value::Null).await;
    assert_eq!((toxics.as_array().map(Vec::len), &toxics[0]["toxicity"]), (Some(1), &json!(0.5)));
}

#[tokio::test]
async fn fault_10_an_interim_response_is_not_the_answer() {
    let world = World::start().await;
    let address = world.poisoned([toxic("reset_peer", "downstream", json!({}))]).await;
    let (mut client, mut service) = world.link(address).await;
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
async fn fault_10_what_is_not_http_is_an_answer_from_its_first_byte() {
    let world = World::start().await;
    let address = world.poisoned([toxic("reset_peer", "downstream", json!({}))]).await;
    for answer in ["+", "HTTP/2 is another protocol", "HTTP/1.1 101 Switching Protocols\r\n\r\n"] {
        let (mut client, mut service) = world.link(address).await;
        service.send(answer).await;
        client.ends_with(Ending::Reset).await;
    }
}
