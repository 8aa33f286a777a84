//! Tests the reset proxy with toxiproxy_rust.

use std::time::{Duration, Instant};

use paylab_clients::{api, echo, talk};
use toxiproxy_rust::{
    client::Client,
    proxy::{Proxy, ProxyPack},
};

fn created(client: &Client, name: &str) -> Proxy {
    let pack = ProxyPack::new(name.to_owned(), "127.0.0.1:0".to_owned(), echo());
    client.populate(vec![pack]).expect("the proxy is created").remove(0)
}

#[test]
fn a_proxy_is_created_used_and_deleted() {
    let client = Client::new(api());
    assert!(client.is_running());
    assert!(client.version().expect("a version").contains("2.5.0"));
    let proxy = created(&client, "rust");
    let listen = proxy.proxy_pack.listen.clone();
    assert_eq!(talk(&listen).expect("a reply"), "ping");
    proxy.with_down(|| assert!(talk(&listen).is_err())).expect("the proxy is down and up again");
    assert_eq!(talk(&listen).expect("a reply"), "ping");
    assert_eq!(client.find_proxy("rust").expect("the proxy").proxy_pack.listen, listen);
    assert!(client.all().expect("all proxies").contains_key("rust"));
    proxy.delete().expect("a removal");
    assert!(client.find_proxy("rust").is_err());
}

#[test]
fn every_toxic_is_added_shown_and_removed() {
    let client = Client::new(api());
    let proxy = created(&client, "rust-toxic");
    for stream in ["upstream", "downstream"] {
        let stream = || stream.to_owned();
        proxy
            .with_latency(stream(), 1, 2, 0.5)
            .with_bandwidth(stream(), 3, 1.0)
            .with_slow_close(stream(), 4, 1.0)
            .with_timeout(stream(), 5, 1.0)
            .with_slicer(stream(), 6, 7, 8, 1.0)
            .with_limit_data(stream(), 9, 1.0);
    }
    let toxics = proxy.toxics().expect("all toxics");
    let names: Vec<_> = toxics.iter().map(|toxic| toxic.name.as_str()).collect();
    let kinds = ["latency", "bandwidth", "slow_close", "timeout", "slicer", "limit_data"];
    let wanted = |stream: &str| kinds.map(|kind| format!("{kind}_{stream}"));
    assert_eq!(names, [wanted("upstream"), wanted("downstream")].concat());
    assert_eq!((toxics[0].toxicity, toxics[0].attributes["latency"], toxics[0].attributes["jitter"]), (0.5, 1, 2));
    proxy.delete_all_toxics().expect("a removal");
    assert!(proxy.toxics().expect("all toxics").is_empty());
    proxy.delete().expect("a removal");
}

#[test]
fn a_toxic_takes_effect_until_it_is_removed() {
    let client = Client::new(api());
    let proxy = created(&client, "rust-effect");
    let listen = &proxy.proxy_pack.listen;
    proxy
        .with_latency("downstream".to_owned(), 300, 0, 1.0)
        .apply(|| {
            let began = Instant::now();
            assert_eq!(talk(listen).expect("a reply"), "ping");
            assert!(began.elapsed() >= Duration::from_millis(300));
        })
        .expect("the toxic is removed");
    proxy.with_limit_data("downstream".to_owned(), 0, 1.0);
    assert_eq!(talk(listen).expect("an end"), "");
    let proxy = client.find_and_reset_proxy("rust-effect").expect("the proxy");
    assert_eq!(talk(&proxy.proxy_pack.listen).expect("a reply"), "ping");
    proxy.delete().expect("a removal");
}
