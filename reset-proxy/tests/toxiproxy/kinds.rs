//! Each kind of toxic. Times have a lower bound and a generous upper one.

use serde_json::{Value, json};

use crate::{
    support::{Ending, soon},
    toxic_lab::{ToxicLab, connect, takes, talk, toxic},
};

const STREAMS: [&str; 2] = ["upstream", "downstream"];

#[tokio::test]
async fn latency_delays_its_stream_and_not_the_other() {
    for stream in STREAMS {
        let lab = ToxicLab::start().await;
        let address = lab.proxy_with([toxic("latency", stream, json!({"latency": 1500}))]).await;
        let (mut client, mut service) = lab.connection(address).await;
        let (slow_from, slow_to) =
            if stream == "upstream" { (&mut client, &mut service) } else { (&mut service, &mut client) };
        slow_to.send("undelayed").await;
        slow_from.expect("undelayed").await;
        takes(1500, async {
            slow_from.send("delayed").await;
            slow_to.sees_nothing().await;
            slow_to.expect("delayed").await;
        })
        .await;
    }
}

#[tokio::test]
async fn latency_delays_each_chunk_from_its_arrival_and_does_not_throttle() {
    let lab = ToxicLab::start().await;
    let address = lab.proxy_with([toxic("latency", "upstream", json!({"latency": 400}))]).await;
    let (mut client, mut service) = lab.connection(address).await;
    let large = vec![b'x'; 2_000_000];
    takes(400, async {
        tokio::join!(client.send(&large), service.expect(&large));
    })
    .await;
}

#[tokio::test]
async fn jitter_stays_within_its_bounds_and_keeps_the_order() {
    let lab = ToxicLab::start().await;
    let address = lab.proxy_with([toxic("latency", "upstream", json!({"latency": 100, "jitter": 90}))]).await;
    let (mut client, mut service) = lab.connection(address).await;
    for digit in "0123456789".chars() {
        takes(10, async {
            client.send(digit.to_string()).await;
            service.expect(digit.to_string()).await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_shorter_latency_releases_waiting_bytes() {
    let lab = ToxicLab::start().await;
    let address = lab.proxy_with([toxic("latency", "upstream", json!({"latency": 600_000}))]).await;
    let (mut client, mut service) = lab.connection(address).await;
    client.send("waiting").await;
    service.sees_nothing().await;
    lab.change("latency_upstream", json!({"attributes": {"latency": 1}})).await;
    service.expect("waiting").await;
}

#[tokio::test]
async fn bandwidth_limits_the_rate_until_it_is_removed() {
    let lab = ToxicLab::start().await;
    let address = lab.proxy_with([toxic("bandwidth", "upstream", json!({"rate": 100}))]).await;
    let (mut client, mut service) = lab.connection(address).await;
    let bytes = vec![b'x'; 60_000];
    // 60 kB at 100 kB/s; the slice of the first tenth of a second may arrive at once.
    takes(450, async {
        tokio::join!(client.send(&bytes), service.expect(&bytes));
    })
    .await;
    let large = vec![b'x'; 3_000_000];
    tokio::join!(client.send(&large), service.expect(&large), lab.remove("bandwidth_upstream"));
}

#[tokio::test]
async fn at_a_bandwidth_of_0_nothing_passes_until_it_is_raised() {
    let lab = ToxicLab::start().await;
    let address = lab.proxy_with([toxic("bandwidth", "downstream", json!({}))]).await;
    let (mut client, mut service) = lab.connection(address).await;
    service.send("stuck").await;
    client.sees_nothing().await;
    lab.change("bandwidth_downstream", json!({"attributes": {"rate": 1_000}})).await;
    client.expect("stuck").await;
}

#[tokio::test]
async fn slow_close_delays_the_end_but_no_data() {
    let lab = ToxicLab::start().await;
    let address = lab.proxy_with([toxic("slow_close", "downstream", json!({"delay": 1500}))]).await;
    let (mut client, mut service) = lab.connection(address).await;
    talk(&mut client, &mut service).await;
    service.send("last").await;
    drop(service);
    takes(1500, async {
        client.expect("last").await;
        client.sees_nothing().await;
        client.ends_with(Ending::Eof).await;
    })
    .await;
}

#[tokio::test]
async fn timeout_drops_the_data_and_closes_after_its_time() {
    let lab = ToxicLab::start().await;
    let address = lab.proxy_with([toxic("timeout", "upstream", json!({"timeout": 400}))]).await;
    takes(400, async {
        let (mut client, mut service) = lab.connection(address).await;
        client.send("dropped").await;
        service.ends_with(Ending::Eof).await;
        client.ends_with(Ending::Eof).await;
    })
    .await;
}

#[tokio::test]
async fn a_timeout_of_0_keeps_the_connection_until_its_removal_closes_it() {
    let lab = ToxicLab::start().await;
    let address = lab.proxy_with([toxic("timeout", "upstream", json!({"timeout": 0}))]).await;
    let (mut client, mut service) = lab.connection(address).await;
    client.send("dropped").await;
    service.sees_nothing().await;
    client.sees_nothing().await;
    lab.remove("timeout_upstream").await;
    service.ends_with(Ending::Eof).await;
    client.ends_with(Ending::Eof).await;
    let (mut client, mut service) = lab.connection(address).await;
    talk(&mut client, &mut service).await;
}

#[tokio::test]
async fn reset_peer_upstream_resets_before_the_service_gets_any_byte() {
    let lab = ToxicLab::start().await;
    let address = lab.proxy_with([toxic("reset_peer", "upstream", json!({}))]).await;
    let (mut client, mut service) = lab.connection(address).await;
    client.send("a payment").await;
    client.ends_with(Ending::Reset).await;
    service.ends_with(Ending::Reset).await;
    assert_eq!(lab.metric("paylab_proxy_resets_total", "reset_peer_upstream").await, 1);
}

#[tokio::test]
async fn reset_peer_downstream_resets_after_the_service_has_answered() {
    let lab = ToxicLab::start().await;
    let address = lab.proxy_with([toxic("reset_peer", "downstream", json!({}))]).await;
    let (mut client, mut service) = lab.connection(address).await;
    client.send("a payment").await;
    service.expect("a payment").await;
    client.sees_nothing().await;
    service.send("booked").await;
    client.ends_with(Ending::Reset).await;
    service.ends_with(Ending::Reset).await;
    assert_eq!(lab.metric("paylab_proxy_resets_total", "reset_peer_downstream").await, 1);
}

#[tokio::test]
async fn reset_peer_waits_for_its_timeout() {
    let lab = ToxicLab::start().await;
    let address = lab.proxy_with([toxic("reset_peer", "upstream", json!({"timeout": 400}))]).await;
    let (mut client, mut service) = lab.connection(address).await;
    client.sees_nothing().await;
    takes(400, async {
        client.send("a payment").await;
        client.ends_with(Ending::Reset).await;
    })
    .await;
    service.ends_with(Ending::Reset).await;
}

#[tokio::test]
async fn slicer_slices_with_pauses_and_loses_no_byte() {
    let lab = ToxicLab::start().await;
    let attributes = json!({"average_size": 100, "size_variation": 50, "delay": 10_000});
    let address = lab.proxy_with([toxic("slicer", "upstream", attributes)]).await;
    let (mut client, mut service) = lab.connection(address).await;
    let text: String = ('a'..='z').cycle().take(6_000).collect();
    // At least 40 slices of at most 150 bytes.
    takes(390, async {
        client.send(&text).await;
        service.expect(&text).await;
    })
    .await;
}

#[tokio::test]
async fn limit_data_closes_each_connection_after_its_number_of_bytes() {
    let lab = ToxicLab::start().await;
    let address = lab.proxy_with([toxic("limit_data", "downstream", json!({"bytes": 10}))]).await;
    for answers in [["01234", "56789abc"], ["0123456789", "abc"], ["0", "123456789"]] {
        let (mut client, mut service) = lab.connection(address).await;
        for answer in answers {
            service.send(answer).await;
        }
        client.expect("0123456789").await;
        client.ends_with(Ending::Eof).await;
        assert_eq!(soon("the end", service.rest()).await.0, b"");
    }
}

#[tokio::test]
async fn packet_loss_drops_its_fraction_and_repeats_with_the_same_seed() {
    let mut seen = Vec::new();
    for (seed, loss_rate) in [(7, 0.0), (7, 0.5), (7, 0.5), (8, 0.5), (7, 1.0)] {
        let lab = ToxicLab::seeded(seed).await;
        let address = lab.proxy_with([toxic("packet_loss", "upstream", json!({"loss_rate": loss_rate}))]).await;
        let (mut client, mut service) = lab.connection(address).await;
        for (index, letter) in "abcdefghijklmnopqrst".chars().enumerate() {
            client.send(letter.to_string()).await;
            let label = r#"direction="upstream",proxy="p""#;
            lab.until_metric("toxiproxy_proxy_received_bytes_total", label, index as u64 + 1).await;
        }
        client.half_close().await;
        seen.push(String::from_utf8(service.rest().await.0).expect("letters"));
    }
    assert_eq!((seen[0].as_str(), seen[4].as_str()), ("abcdefghijklmnopqrst", ""));
    assert_eq!(seen[1], seen[2]);
    assert_ne!(seen[1], seen[3]);
    assert!((4..=16).contains(&seen[1].len()), "{} of 20 passed", seen[1]);
}

#[tokio::test]
async fn noop_passes_everything() {
    let lab = ToxicLab::start().await;
    let address = lab.proxy_with(STREAMS.map(|stream| toxic("noop", stream, json!({})))).await;
    let (mut client, mut service) = lab.connection(address).await;
    talk(&mut client, &mut service).await;
    service.send("last").await;
    drop(service);
    client.expect("last").await;
    client.ends_with(Ending::Eof).await;
}

#[tokio::test]
async fn down_closes_connections_and_listener_and_up_opens_the_same_port() {
    let lab = ToxicLab::start().await;
    let address = lab.proxy_that_closes("p", 13).await;
    let (mut client, mut service) = lab.connection(address).await;
    talk(&mut client, &mut service).await;
    let shown = lab.accepted("POST", "/proxies/p", json!({"enabled": false})).await;
    assert_eq!(shown["enabled"], json!(false));
    client.ends_with(Ending::Eof).await;
    service.ends_with(Ending::Eof).await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nothing listens");
    lab.accepted("PATCH", "/proxies/p", json!({"enabled": true})).await;
    let (mut client, mut service) = lab.connection(address).await;
    talk(&mut client, &mut service).await;
    drop(connect(address).await);
    assert_eq!(lab.accepted("GET", "/proxies/p", Value::Null).await["enabled"], json!(true));
}

/// What happens to four bytes.
#[derive(Debug, Clone, Copy)]
enum Effect {
    ArriveAfter(u64),
    AreHeldOrLost,
    AreCut,
    AreResetInstead,
}

#[tokio::test]
async fn every_toxic_works_on_either_stream() {
    for stream in STREAMS {
        for (kind, attributes, effect) in [
            ("noop", json!({}), Effect::ArriveAfter(0)),
            ("latency", json!({"latency": 50}), Effect::ArriveAfter(50)),
            ("slow_close", json!({"delay": 50}), Effect::ArriveAfter(0)),
            ("slicer", json!({"average_size": 1, "delay": 20_000}), Effect::ArriveAfter(60)),
            ("bandwidth", json!({"rate": 0}), Effect::AreHeldOrLost),
            ("timeout", json!({"timeout": 0}), Effect::AreHeldOrLost),
            ("packet_loss", json!({"loss_rate": 1}), Effect::AreHeldOrLost),
            ("limit_data", json!({"bytes": 2}), Effect::AreCut),
            ("reset_peer", json!({}), Effect::AreResetInstead),
        ] {
            let lab = ToxicLab::start().await;
            let address = lab.proxy_with([toxic(kind, stream, attributes)]).await;
            let (client, service) = lab.connection(address).await;
            let (mut from, mut to) = if stream == "upstream" { (client, service) } else { (service, client) };
            to.send("back").await;
            from.expect("back").await;
            match effect {
                Effect::ArriveAfter(ms) => {
                    takes(ms, async {
                        from.send("word").await;
                        to.expect("word").await;
                    })
                    .await;
                }
                Effect::AreHeldOrLost => {
                    from.send("word").await;
                    to.sees_nothing().await;
                }
                Effect::AreCut => {
                    from.send("word").await;
                    to.expect("wo").await;
                    to.ends_with(Ending::Eof).await;
                }
                Effect::AreResetInstead => {
                    from.send("word").await;
                    to.ends_with(Ending::Reset).await;
                    from.ends_with(Ending::Reset).await;
                }
            }
        }
    }
}
