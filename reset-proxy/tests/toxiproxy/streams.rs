//! Chains of toxics: their order, and the bytes in them when toxics are added and removed.

use serde_json::{Value, json};

use crate::{
    support::Ending,
    toxic_lab::{ToxicLab, takes, talk, toxic},
};

#[tokio::test]
async fn toxics_of_one_stream_act_one_after_the_other() {
    let lab = ToxicLab::start().await;
    let named =
        |name: &str| json!({"name": name, "type": "latency", "stream": "upstream", "attributes": {"latency": 200}});
    let address = lab.proxy_with([named("one"), named("two")]).await;
    let (mut client, mut service) = lab.connection(address).await;
    takes(400, async {
        client.send("twice").await;
        service.expect("twice").await;
    })
    .await;
}

#[tokio::test]
async fn bytes_pass_toxics_in_the_order_of_their_creation() {
    let lab = ToxicLab::start().await;
    let limit = || toxic("limit_data", "upstream", json!({"bytes": 4}));
    let loss = || toxic("packet_loss", "upstream", json!({"loss_rate": 1}));
    let address = lab.proxy_with([limit(), loss()]).await;
    let (mut client, mut service) = lab.connection(address).await;
    // The limit is reached although the loss lets nothing pass.
    client.send("01234").await;
    service.ends_with(Ending::Eof).await;
    for toxic in ["limit_data_upstream", "packet_loss_upstream"] {
        lab.remove(toxic).await;
    }
    for toxic in [loss(), limit()] {
        lab.add(toxic).await;
    }
    let (mut client, mut service) = lab.connection(address).await;
    // All bytes are lost before the limit sees them.
    client.send("01234").await;
    service.sees_nothing().await;
}

#[tokio::test]
async fn every_byte_arrives_in_order_while_toxics_are_added_and_removed() {
    let lab = ToxicLab::start().await;
    let address = lab.proxy_with([]).await;
    let (mut client, mut service) = lab.connection(address).await;
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
            lab.add(toxic).await;
        }
        for name in ["slicer_upstream", "latency_upstream", "noop_upstream", "bandwidth_upstream"] {
            let word = format!("<{round} without {name}>");
            client.send(&word).await;
            sent += &word;
            lab.remove(name).await;
        }
    }
    service.expect(sent).await;
    talk(&mut client, &mut service).await;
}

#[tokio::test]
async fn an_end_that_waits_for_a_toxic_passes_when_the_toxic_is_removed() {
    let lab = ToxicLab::start().await;
    let address = lab.proxy_with([toxic("latency", "downstream", json!({"latency": 600_000}))]).await;
    let (mut client, mut service) = lab.connection(address).await;
    service.send("the last word").await;
    drop(service);
    client.sees_nothing().await;
    lab.remove("latency_downstream").await;
    client.expect("the last word").await;
    client.ends_with(Ending::Eof).await;
}

#[tokio::test]
async fn a_changed_toxicity_applies_to_open_connections() {
    let lab = ToxicLab::start().await;
    let address = lab.proxy_with([json!({"type": "timeout", "stream": "upstream", "toxicity": 0})]).await;
    let (mut client, mut service) = lab.connection(address).await;
    talk(&mut client, &mut service).await;
    lab.change("timeout_upstream", json!({"toxicity": 1})).await;
    client.send("lost").await;
    service.sees_nothing().await;
    lab.change("timeout_upstream", json!({"toxicity": 0})).await;
    // This removes the toxic from the connection, which is closed because bytes of it were dropped.
    service.ends_with(Ending::Eof).await;
}

#[tokio::test]
async fn a_reset_of_one_side_is_passed_on_as_a_reset() {
    let lab = ToxicLab::start().await;
    let plain = lab.proxy("plain").await;
    let slow = ["upstream", "downstream"].map(|stream| toxic("latency", stream, json!({"latency": 1})));
    let delayed = lab.proxy_with(slow).await;
    for address in [plain, delayed] {
        let (mut client, mut service) = lab.connection(address).await;
        talk(&mut client, &mut service).await;
        client.reset();
        service.ends_with(Ending::Reset).await;
        let (mut client, mut service) = lab.connection(address).await;
        talk(&mut client, &mut service).await;
        service.reset();
        client.ends_with(Ending::Reset).await;
    }
    assert_eq!(lab.metric("paylab_proxy_resets_total", "client_gone").await, 2);
    assert_eq!(lab.metric("paylab_proxy_resets_total", "service_gone").await, 2);
}

#[tokio::test]
async fn reset_enables_every_proxy_and_removes_every_toxic() {
    let lab = ToxicLab::start().await;
    let address = lab.proxy_with([toxic("bandwidth", "upstream", json!({"rate": 0}))]).await;
    let down = lab.proxy_that_closes("down", 12).await;
    lab.accepted("POST", "/proxies/down", json!({"enabled": false})).await;
    let (mut client, mut service) = lab.connection(address).await;
    client.send("stuck").await;
    service.sees_nothing().await;
    assert_eq!(lab.accepted("POST", "/reset", Value::Null).await, Value::Null);
    service.expect("stuck").await;
    talk(&mut client, &mut service).await;
    let (mut client, mut service) = lab.connection(down).await;
    talk(&mut client, &mut service).await;
    assert_eq!(lab.accepted("GET", "/proxies/p/toxics", Value::Null).await, json!([]));
}

#[tokio::test]
async fn a_large_stream_arrives_whole_while_toxics_are_added_and_removed() {
    let lab = ToxicLab::start().await;
    let address = lab.proxy_with([]).await;
    let bytes: Vec<u8> = (0..48_000_000_u32).map(|index| index.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    for reads_late in [false, true] {
        let (mut client, mut service) = lab.connection(address).await;
        let send = async {
            service.send(&bytes).await;
            service.half_close().await;
        };
        let change = async {
            for _ in 0..10 {
                lab.add(toxic("latency", "downstream", json!({"latency": 1}))).await;
                lab.remove("latency_downstream").await;
            }
        };
        let (received, ending) = if reads_late {
            // Meanwhile the sender is blocked, and there are bytes in every buffer between sender and receiver.
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
        lab.until_metric("paylab_proxy_connections_open", r#"proxy="p""#, 0).await;
    }
    let sent = lab.metric("toxiproxy_proxy_sent_bytes_total", r#"direction="downstream",proxy="p""#).await;
    assert_eq!(sent, 2 * bytes.len() as u64);
}
