//! Toxics in a chain: their order, and what becomes of what is under way when they come and go.

use serde_json::{Value, json};

use crate::{
    support::Ending,
    world::{World, takes, talk, toxic},
};

#[tokio::test]
async fn toxics_of_one_stream_follow_each_other() {
    let world = World::start().await;
    let named =
        |name: &str| json!({"name": name, "type": "latency", "stream": "upstream", "attributes": {"latency": 200}});
    let address = world.poisoned([named("one"), named("two")]).await;
    let (mut client, mut service) = world.link(address).await;
    takes(400, async {
        client.send("twice").await;
        service.expect("twice").await;
    })
    .await;
}

#[tokio::test]
async fn the_order_of_making_is_the_order_of_passing() {
    let world = World::start().await;
    let limit = || toxic("limit_data", "upstream", json!({"bytes": 4}));
    let loss = || toxic("packet_loss", "upstream", json!({"loss_rate": 1}));
    let address = world.poisoned([limit(), loss()]).await;
    let (mut client, mut service) = world.link(address).await;
    // The limit is reached, though nothing gets past the loss.
    client.send("01234").await;
    service.ends_with(Ending::Eof).await;
    for toxic in ["limit_data_upstream", "packet_loss_upstream"] {
        world.remove(toxic).await;
    }
    for toxic in [loss(), limit()] {
        world.add(toxic).await;
    }
    let (mut client, mut service) = world.link(address).await;
    // All is lost before the limit sees any of it.
    client.send("01234").await;
    service.sees_nothing().await;
}

#[tokio::test]
async fn toxics_come_and_go_on_a_live_connection_and_every_byte_arrives_in_order() {
    let world = World::start().await;
    let address = world.poisoned([]).await;
    let (mut client, mut service) = world.link(address).await;
    let mut sent = String::new();
    for round in 0..6 {
        for toxic in [
            toxic("latency", "upstream", json!({"latency": 15, "jitter": 10})),
            toxic("slicer", "upstream", json!({"average_size": 2, "size_variation": 1, "delay": 100})),
            toxic("bandwidth", "upstream", json!({"rate": 50})),
            toxic("noop", "upstream", json!({})),
        ] {
            let word = format!("<{round} {}>", toxic["type"].as_str().expect("a type"));
            client.send(&word).await;
            sent += &word;
            world.add(toxic).await;
        }
        for name in ["slicer_upstream", "latency_upstream", "noop_upstream", "bandwidth_upstream"] {
            let word = format!("<{round} without {name}>");
            client.send(&word).await;
            sent += &word;
            world.remove(name).await;
        }
    }
    service.expect(sent).await;
    talk(&mut client, &mut service).await;
}

#[tokio::test]
async fn an_end_that_waits_for_a_toxic_is_not_forgotten_when_the_toxic_goes() {
    let world = World::start().await;
    let address = world.poisoned([toxic("latency", "downstream", json!({"latency": 600_000}))]).await;
    let (mut client, mut service) = world.link(address).await;
    service.send("the last word").await;
    drop(service);
    client.sees_nothing().await;
    world.remove("latency_downstream").await;
    client.expect("the last word").await;
    client.ends_with(Ending::Eof).await;
}

#[tokio::test]
async fn a_changed_toxicity_reaches_live_connections() {
    let world = World::start().await;
    let address = world.poisoned([json!({"type": "timeout", "stream": "upstream", "toxicity": 0})]).await;
    let (mut client, mut service) = world.link(address).await;
    talk(&mut client, &mut service).await;
    world.change("timeout_upstream", json!({"toxicity": 1})).await;
    client.send("lost").await;
    service.sees_nothing().await;
    world.change("timeout_upstream", json!({"toxicity": 0})).await;
    // As if it were removed: what was dropped is missing, so the connection cannot go on.
    service.ends_with(Ending::Eof).await;
}

#[tokio::test]
async fn a_reset_of_one_side_is_passed_on_as_a_reset() {
    let world = World::start().await;
    let plain = world.proxy("plain").await;
    let slow = ["upstream", "downstream"].map(|stream| toxic("latency", stream, json!({"latency": 1})));
    let delayed = world.poisoned(slow).await;
    for address in [plain, delayed] {
        let (mut client, mut service) = world.link(address).await;
        talk(&mut client, &mut service).await;
        client.reset();
        service.ends_with(Ending::Reset).await;
        let (mut client, mut service) = world.link(address).await;
        talk(&mut client, &mut service).await;
        service.reset();
        client.ends_with(Ending::Reset).await;
    }
    assert_eq!(world.metric("paylab_proxy_resets_total", "client_gone").await, 2);
    assert_eq!(world.metric("paylab_proxy_resets_total", "service_gone").await, 2);
}

#[tokio::test]
async fn reset_enables_every_proxy_and_frees_every_connection() {
    let world = World::start().await;
    let address = world.poisoned([toxic("bandwidth", "upstream", json!({"rate": 0}))]).await;
    let down = world.proxy("down").await;
    world.obeyed("POST", "/proxies/down", json!({"enabled": false})).await;
    let (mut client, mut service) = world.link(address).await;
    client.send("stuck").await;
    service.sees_nothing().await;
    assert_eq!(world.obeyed("POST", "/reset", Value::Null).await, Value::Null);
    service.expect("stuck").await;
    talk(&mut client, &mut service).await;
    let (mut client, mut service) = world.link(down).await;
    talk(&mut client, &mut service).await;
    assert_eq!(world.obeyed("GET", "/proxies/p/toxics", Value::Null).await, json!([]));
}

#[tokio::test]
async fn a_large_stream_arrives_whole_while_toxics_come_and_go() {
    let world = World::start().await;
    let address = world.poisoned([]).await;
    let bytes: Vec<u8> = (0..48_000_000_u32).map(|index| index.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    for reads_late in [false, true] {
        let (mut client, mut service) = world.link(address).await;
        let send = async {
            service.send(&bytes).await;
            service.half_close().await;
        };
        let change = async {
            for _ in 0..10 {
                world.add(toxic("latency", "downstream", json!({"latency": 1}))).await;
                world.remove("latency_downstream").await;
            }
        };
        let (received, ending) = if reads_late {
            // The sender is stuck meanwhile, with bytes on each stretch of the way.
            let receive = async {
                change.await;
                client.rest().await
            };
            tokio::join!(send, receive).1
        } else {
            tokio::join!(send, change, client.rest()).2
        };
        assert!(received == bytes && ending == Ending::Eof, "{} bytes arrived, {ending:?}", received.len());
        drop((client, service));
        world.until_metric("paylab_proxy_connections_open", r#"proxy="p""#, 0).await;
    }
    let sent = world.metric("toxiproxy_proxy_sent_bytes_total", r#"direction="downstream",proxy="p""#).await;
    assert_eq!(sent, 2 * bytes.len() as u64);
}
