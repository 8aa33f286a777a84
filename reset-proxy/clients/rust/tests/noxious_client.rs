//! Tests the reset proxy with noxious-client.

use std::time::{Duration, Instant};

use noxious::{
    proxy::ProxyConfig,
    toxic::{StreamDirection, Toxic, ToxicKind},
};
use noxious_client::{Client, error::ClientError};
use paylab_clients::{api, echo, talk};

fn toxic(name: &str, kind: ToxicKind, direction: StreamDirection) -> Toxic {
    Toxic { kind, name: name.to_owned(), toxicity: 1.0, direction }
}

fn message<T>(result: Result<T, ClientError>) -> String {
    match result {
        Ok(_) => "no error".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// The address at which a proxy listens, which this client does not read from the response to its creation.
async fn listen(client: &Client, name: &str) -> String {
    client.proxy(name).await.expect("the proxy").config.listen
}

#[tokio::test]
async fn a_proxy_is_created_used_and_deleted() {
    let client = Client::new(&api());
    let mut proxy = client.create_proxy("noxious", "127.0.0.1:0", &echo()).await.expect("a proxy");
    proxy.config.listen = listen(&client, "noxious").await;
    let address = proxy.config.listen.clone();
    assert_eq!(talk(&address).expect("a reply"), "ping");
    let again = client.create_proxy("noxious", "127.0.0.1:0", "127.0.0.1:1").await;
    assert_eq!(message(again), "API error: 409: proxy already exists");
    proxy.disable().await.expect("an update");
    assert!(!client.proxy("noxious").await.expect("the proxy").is_enabled());
    assert!(talk(&address).is_err());
    proxy.enable().await.expect("an update");
    assert_eq!(talk(&address).expect("a reply"), "ping");
    assert!(client.proxies().await.expect("all proxies").contains_key("noxious"));
    proxy.delete().await.expect("a removal");
    assert_eq!(message(client.proxy("noxious").await), "API error: 404: proxy not found");
}

#[tokio::test]
async fn every_toxic_is_added_shown_changed_and_removed() {
    let client = Client::new(&api());
    let proxy = client.create_proxy("noxious-toxic", "127.0.0.1:0", &echo()).await.expect("a proxy");
    // Without `Noop`: this client cannot read the empty attributes with which Toxiproxy shows one.
    let kinds = [
        ToxicKind::Latency { latency: 1, jitter: 2 },
        ToxicKind::Timeout { timeout: 3 },
        ToxicKind::Bandwidth { rate: 4 },
        ToxicKind::SlowClose { delay: 5 },
        ToxicKind::Slicer { average_size: 6, size_variation: 7, delay: 8 },
        ToxicKind::LimitData { bytes: 9 },
    ];
    for direction in [StreamDirection::Upstream, StreamDirection::Downstream] {
        for (index, kind) in kinds.into_iter().enumerate() {
            let name = format!("{direction}-{index}");
            let added = proxy.add_toxic(&toxic(&name, kind, direction)).await.expect("a toxic");
            assert_eq!((added.kind, added.direction, added.toxicity), (kind, direction, 1.0));
        }
    }
    let shown = proxy.toxics().await.expect("all toxics");
    assert_eq!(shown.iter().map(|toxic| toxic.kind).collect::<Vec<_>>(), [kinds, kinds].concat());
    let changed = ToxicKind::Latency { latency: 10, jitter: 0 };
    let updated = proxy.update_toxic("upstream-0", 0.5, changed, StreamDirection::Upstream).await.expect("an update");
    assert_eq!((updated.kind, updated.direction, updated.toxicity), (changed, StreamDirection::Upstream, 0.5));
    proxy.remove_toxic("upstream-1").await.expect("a removal");
    assert_eq!(message(proxy.remove_toxic("upstream-1").await), "API error: 404: toxic not found");
    proxy.delete().await.expect("a removal");
}

#[tokio::test]
async fn a_toxic_takes_effect_until_it_is_removed() {
    let client = Client::new(&api());
    let proxy = client.create_proxy("noxious-effect", "127.0.0.1:0", &echo()).await.expect("a proxy");
    let address = listen(&client, "noxious-effect").await;
    let latency = ToxicKind::Latency { latency: 300, jitter: 0 };
    proxy.add_toxic(&toxic("slow", latency, StreamDirection::Upstream)).await.expect("a toxic");
    let began = Instant::now();
    assert_eq!(talk(&address).expect("a reply"), "ping");
    assert!(began.elapsed() >= Duration::from_millis(300));
    proxy.remove_toxic("slow").await.expect("a removal");
    let none = ToxicKind::LimitData { bytes: 0 };
    proxy.add_toxic(&toxic("none", none, StreamDirection::Downstream)).await.expect("a toxic");
    assert_eq!(talk(&address).expect("an end"), "");
    proxy.delete().await.expect("a removal");
}

/// This client expects another response to `/populate` than Toxiproxy's, and reads neither. The proxies are there.
#[tokio::test]
async fn many_proxies_are_created_at_once() {
    let client = Client::new(&api());
    let config = |name: &str| ProxyConfig {
        name: name.to_owned(),
        listen: "127.0.0.1:0".to_owned(),
        upstream: "127.0.0.1:1".to_owned(),
        enabled: true,
        rand_seed: None,
    };
    let populated = client.populate(&[config("noxious-one"), config("noxious-two")]).await;
    assert!(message(populated).contains("error decoding response body"));
    for name in ["noxious-one", "noxious-two"] {
        client.proxy(name).await.expect("the proxy").delete().await.expect("a removal");
    }
}
