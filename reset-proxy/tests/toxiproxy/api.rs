//! The API as Toxiproxy's clients expect it: status codes, bodies, defaults and peculiarities.

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::{
    support::Ending,
    toxic_lab::{ToxicLab, address, connect, talk, toxic},
};

fn refusal(status: u16, text: &str) -> (u16, Value) {
    (status, json!({"error": text, "status": status}))
}

/// The upstream of proxies without connections.
const NOWHERE: &str = "127.0.0.1:1";

#[tokio::test]
async fn a_proxy_is_created_shown_and_deleted() {
    let lab = ToxicLab::start().await;
    assert_eq!(lab.api("GET", "/proxies", Value::Null).await, (200, json!({})));
    let (status, created) = lab.api("POST", "/proxies", json!({"name": "p", "upstream": NOWHERE})).await;
    let listen = created["listen"].as_str().expect("an address").to_owned();
    let shown = json!({"name": "p", "listen": listen, "upstream": NOWHERE, "enabled": true, "toxics": []});
    assert_eq!((status, &created), (201, &shown));
    assert!(!listen.ends_with(":0"), "{listen} is where it listens");
    assert_eq!(lab.api("GET", "/proxies/p", Value::Null).await, (200, shown.clone()));
    assert_eq!(lab.api("GET", "/proxies", Value::Null).await, (200, json!({ "p": shown })));
    assert_eq!(lab.api("DELETE", "/proxies/p", Value::Null).await, (204, Value::Null));
    let closed = lab.proxy_that_closes("q", 15).await;
    assert_eq!(lab.api("DELETE", "/proxies/q", Value::Null).await, (204, Value::Null));
    assert!(TcpStream::connect(closed).await.is_err(), "nothing listens");
    for (method, path) in
        [("GET", ""), ("POST", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/toxics"), ("POST", "/toxics")]
    {
        let answer = lab.api(method, &format!("/proxies/p{path}"), json!({"type": "noop"})).await;
        assert_eq!(answer, refusal(404, "proxy not found"), "{method} {path}");
    }
}

#[tokio::test]
async fn a_proxy_that_cannot_be_created_is_refused() {
    let lab = ToxicLab::start().await;
    let there = lab.proxy("there").await;
    let nowhere = |name: &str, listen: &str| json!({"name": name, "listen": listen, "upstream": NOWHERE});
    for (body, expected) in [
        (json!({"upstream": NOWHERE}), refusal(400, "missing required field: name")),
        (json!({"name": "", "upstream": NOWHERE}), refusal(400, "missing required field: name")),
        (json!({"name": "p"}), refusal(400, "missing required field: upstream")),
        (nowhere("there", "127.0.0.1:0"), refusal(409, "proxy already exists")),
        (nowhere("p", &there.to_string()), refusal(500, &format!("listen tcp {there}: bind: address already in use"))),
        (nowhere("p", "192.0.2.1:9"), refusal(500, "listen tcp 192.0.2.1:9: bind: cannot assign requested address")),
        (nowhere("p", "localhost"), refusal(500, "listen tcp: address localhost: missing port in address")),
        (nowhere("p", "localhost:99999"), refusal(500, "listen tcp: address 99999: invalid port")),
    ] {
        assert_eq!(lab.api("POST", "/proxies", body.clone()).await, expected, "{body}");
    }
    assert_eq!(lab.accepted("GET", "/proxies", Value::Null).await.as_object().map(serde_json::Map::len), Some(1));
}

#[tokio::test]
async fn a_proxy_created_disabled_listens_once_it_is_enabled() {
    let lab = ToxicLab::start().await;
    let body = json!({"name": "p", "listen": "localhost:0", "upstream": lab.upstream(), "enabled": false});
    let created = lab.accepted("POST", "/proxies", body).await;
    assert_eq!((&created["enabled"], &created["listen"]), (&json!(false), &json!("localhost:0")));
    let shown = lab.accepted("POST", "/proxies/p", json!({"enabled": true})).await;
    let (mut client, mut service) = lab.connection(address(&shown)).await;
    talk(&mut client, &mut service).await;
}

#[tokio::test]
async fn an_update_that_changes_nothing_keeps_connections_and_another_restarts_the_proxy() {
    let lab = ToxicLab::start().await;
    let listen = lab.proxy_with([toxic("noop", "upstream", json!({}))]).await;
    let (mut client, mut service) = lab.connection(listen).await;
    let by_name = format!("localhost:{}", listen.port());
    for body in
        [json!({}), json!({"listen": listen}), json!({"listen": by_name, "upstream": lab.upstream(), "enabled": true})]
    {
        lab.accepted("POST", "/proxies/p", body).await;
        talk(&mut client, &mut service).await;
    }
    let shown = lab.accepted("PATCH", "/proxies/p", json!({"upstream": NOWHERE})).await;
    client.ends_with(Ending::Eof).await;
    service.ends_with(Ending::Eof).await;
    assert_eq!((&shown["upstream"], &shown["listen"]), (&json!(NOWHERE), &json!(listen)));
    assert_eq!(shown["toxics"].as_array().map(Vec::len), Some(1));
    connect(listen).await.ends_with(Ending::Eof).await;
    let other = lab.proxy("other").await;
    let taken = format!("listen tcp {other}: bind: address already in use");
    assert_eq!(lab.api("POST", "/proxies/p", json!({"listen": other})).await, refusal(500, &taken));
    assert_eq!(lab.accepted("GET", "/proxies/p", Value::Null).await["enabled"], json!(false));
}

#[tokio::test]
async fn a_toxic_has_all_its_attributes_and_a_default_name() {
    let lab = ToxicLab::start().await;
    lab.proxy("p").await;
    for (kind, attributes) in [
        ("latency", json!({"latency": 0, "jitter": 0})),
        ("bandwidth", json!({"rate": 0})),
        ("slow_close", json!({"delay": 0})),
        ("timeout", json!({"timeout": 0})),
        ("reset_peer", json!({"timeout": 0})),
        ("slicer", json!({"average_size": 0, "size_variation": 0, "delay": 0})),
        ("limit_data", json!({"bytes": 0})),
        ("packet_loss", json!({"loss_rate": 0.0, "correlation": 0.0})),
        ("noop", json!({})),
    ] {
        let name = format!("{kind}_downstream");
        let shown =
            json!({"attributes": attributes, "name": name, "type": kind, "stream": "downstream", "toxicity": 1});
        let path = format!("/proxies/p/toxics/{name}");
        assert_eq!(lab.api("POST", "/proxies/p/toxics", json!({"type": kind})).await, (200, shown.clone()));
        assert_eq!(lab.api("GET", &path, Value::Null).await, (200, shown));
        assert_eq!(lab.api("DELETE", &path, Value::Null).await, (204, Value::Null));
        assert_eq!(lab.api("GET", &path, Value::Null).await, refusal(404, "toxic not found"));
    }
}

/// The client for .NET writes `UpStream`, and the Rust client noxious calls the field `direction`.
#[tokio::test]
async fn a_stream_is_read_in_any_letter_case_and_under_both_of_its_names() {
    let lab = ToxicLab::start().await;
    lab.proxy("p").await;
    for (body, stream) in [
        (json!({"type": "latency", "Stream": "UpStream"}), "upstream"),
        (json!({"type": "latency", "Stream": "DOWNSTREAM", "direction": "upstream"}), "downstream"),
        (json!({"type": "latency", "direction": "upstream", "name": "latency_upstream"}), "upstream"),
    ] {
        lab.api("DELETE", "/proxies/p/toxics/latency_upstream", Value::Null).await;
        let (status, shown) = lab.api("POST", "/proxies/p/toxics", body).await;
        assert_eq!(
            (status, &shown["stream"], &shown["name"]),
            (200, &json!(stream), &json!(format!("latency_{stream}")))
        );
    }
}

#[tokio::test]
async fn toxics_are_listed_upstream_first_in_the_order_of_their_creation() {
    let lab = ToxicLab::start().await;
    lab.proxy("p").await;
    for (name, stream) in [("d2", "downstream"), ("u2", "upstream"), ("d1", "downstream"), ("u1", "upstream")] {
        lab.add(json!({"name": name, "type": "latency", "stream": stream})).await;
    }
    let names = |toxics: &Value| -> Vec<String> {
        let toxics = toxics.as_array().expect("a list");
        toxics.iter().map(|toxic| toxic["name"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(names(&lab.accepted("GET", "/proxies/p/toxics", Value::Null).await), ["u2", "u1", "d2", "d1"]);
    assert_eq!(names(&lab.accepted("GET", "/proxies/p", Value::Null).await["toxics"]), ["u2", "u1", "d2", "d1"]);
}

#[tokio::test]
async fn a_toxic_that_cannot_be_created_is_refused() {
    let lab = ToxicLab::start().await;
    lab.proxy_with([toxic("latency", "upstream", json!({}))]).await;
    for (body, expected) in [
        (json!({}), refusal(400, "invalid toxic type")),
        (json!({"type": "virus"}), refusal(400, "invalid toxic type")),
        (
            toxic("latency", "sideways", json!({})),
            refusal(400, "stream was invalid, can be either upstream or downstream"),
        ),
        (toxic("latency", "upstream", json!({})), refusal(409, "toxic already exists")),
        (json!({"name": "latency_upstream", "type": "slicer"}), refusal(409, "toxic already exists")),
    ] {
        assert_eq!(lab.api("POST", "/proxies/p/toxics", body.clone()).await, expected, "{body}");
    }
    for (body, field) in [
        (json!({"type": "latency", "attributes": {"latency": "soon"}}), "latency"),
        (json!({"type": "latency", "attributes": {"latency": 1.5}}), "latency"),
        (json!({"type": "latency", "attributes": [1]}), "attributes"),
        (json!({"type": 7}), "type"),
        (json!({"type": "packet_loss", "attributes": {"loss_rate": 2}}), "loss_rate"),
        (json!({"type": "latency", "toxicity": "much"}), "toxicity"),
    ] {
        let (status, answer) = lab.api("POST", "/proxies/p/toxics", body.clone()).await;
        let text = answer["error"].as_str().expect("a text");
        assert!(status == 400 && text.starts_with("bad request body: ") && text.contains(field), "{body}: {text}");
    }
}

#[tokio::test]
async fn an_update_of_a_toxic_changes_only_the_fields_it_names() {
    let lab = ToxicLab::start().await;
    lab.proxy("p").await;
    lab.add(json!({"type": "latency", "attributes": {"latency": 5, "jitter": 3}, "toxicity": 0.25})).await;
    let expected = |latency: u64, toxicity: Value| {
        let attributes = json!({"latency": latency, "jitter": 3});
        json!({"attributes": attributes, "name": "latency_downstream", "type": "latency", "stream": "downstream", "toxicity": toxicity})
    };
    for (body, shown) in [
        (json!({}), expected(5, json!(0.25))),
        (json!({"attributes": {"latency": 7}}), expected(7, json!(0.25))),
        (json!({"toxicity": 0.5, "name": "other", "type": "slicer", "stream": "upstream"}), expected(7, json!(0.5))),
        (json!({"toxicity": 0, "attributes": null}), expected(7, json!(0))),
    ] {
        assert_eq!(lab.change("latency_downstream", body).await, shown);
    }
    let post = lab.accepted("POST", "/proxies/p/toxics/latency_downstream", json!({"toxicity": 1.0})).await;
    assert_eq!(post, expected(7, json!(1)));
}

#[tokio::test]
async fn populate_creates_keeps_and_replaces() {
    let lab = ToxicLab::start().await;
    let listen = lab.proxy_with([toxic("noop", "upstream", json!({}))]).await;
    let (mut client, mut service) = lab.connection(listen).await;
    let same = json!({"name": "p", "listen": format!("localhost:{}", listen.port()), "upstream": lab.upstream()});
    let new = json!({"name": "q", "listen": "127.0.0.1:0", "upstream": NOWHERE,
        "toxics": [{"type": "latency", "stream": "upstream"}]});
    let (status, answer) = lab.api("POST", "/populate", json!([same, new])).await;
    let kinds: Vec<_> = (0..2).map(|index| answer["proxies"][index]["toxics"][0]["type"].clone()).collect();
    assert_eq!((status, kinds), (201, vec![json!("noop"), json!("latency")]));
    talk(&mut client, &mut service).await;
    let other = json!({"name": "p", "listen": listen, "upstream": NOWHERE});
    let (status, answer) = lab.api("POST", "/populate", json!([other])).await;
    let shown = json!({"name": "p", "listen": listen, "upstream": NOWHERE, "enabled": true, "toxics": []});
    assert_eq!((status, answer), (201, json!({ "proxies": [shown] })));
    client.ends_with(Ending::Eof).await;
}

#[tokio::test]
async fn populate_checks_all_before_it_creates_any_and_keeps_those_it_created() {
    let lab = ToxicLab::start().await;
    let good = json!({"name": "good", "listen": "127.0.0.1:0", "upstream": NOWHERE});
    for (bad, text) in [
        (json!({"upstream": NOWHERE}), "missing required field: name at proxy 2"),
        (json!({"name": "bad"}), "missing required field: upstream at proxy 2"),
    ] {
        let refused = (400, json!({"error": text, "status": 400, "proxies": []}));
        assert_eq!(lab.api("POST", "/populate", json!([good, bad])).await, refused);
    }
    assert_eq!(lab.accepted("GET", "/proxies", Value::Null).await, json!({}));
    let taken = lab.proxy("taken").await;
    let clash = json!({"name": "clash", "listen": taken, "upstream": NOWHERE});
    let (status, answer) = lab.api("POST", "/populate", json!([good, clash])).await;
    let text = format!("listen tcp {taken}: bind: address already in use");
    assert_eq!((status, &answer["error"], &answer["status"]), (500, &json!(text), &json!(500)));
    assert_eq!((&answer["proxies"][0]["name"], answer["proxies"].as_array().map(Vec::len)), (&json!("good"), Some(1)));
    assert_eq!(lab.api("GET", "/proxies/good", Value::Null).await.0, 200);
    assert_eq!(lab.api("GET", "/proxies/clash", Value::Null).await.0, 404);
}

#[tokio::test]
async fn bodies_are_read_as_toxiproxy_reads_them() {
    let lab = ToxicLab::start().await;
    let body = r#"{"NAME":"p","Listen":"127.0.0.1:0","upStream":"127.0.0.1:1","colour":"red","enabled":null} trailing"#;
    assert_eq!(lab.api_text("POST", "/proxies", body).await.0, 201);
    for (body, text) in [("", "bad request body: EOF"), ("{\"name\":", "bad request body: unexpected EOF")] {
        assert_eq!(lab.api_text("POST", "/proxies", body).await, refusal(400, text));
    }
    for body in ["nonsense", "[]", "7", "{\"name\": 7}", "{'name': 'p'}", "\u{0}"] {
        let (status, answer) = lab.api_text("POST", "/proxies", body).await;
        let text = answer["error"].as_str().expect("a text");
        assert!(status == 400 && text.starts_with("bad request body: "), "{body}: {status} {text}");
    }
}

#[tokio::test]
async fn names_may_hold_slashes_spaces_and_any_letter() {
    let lab = ToxicLab::start().await;
    for (name, path) in [
        ("shop/eu west", "shop%2Feu%20west"),
        ("shop/plain", "shop/plain"),
        ("Zürich 💶", "Z%C3%BCrich%20%F0%9F%92%B6"),
    ] {
        lab.proxy(name).await;
        let path = format!("/proxies/{path}");
        assert_eq!(lab.accepted("GET", &path, Value::Null).await["name"], json!(name));
        lab.accepted("POST", &format!("{path}/toxics"), json!({"type": "noop", "name": "a/b ü"})).await;
        let toxic = lab.accepted("GET", &format!("{path}/toxics/a%2Fb%20%C3%BC"), Value::Null).await;
        assert_eq!(toxic["name"], json!("a/b ü"));
        assert_eq!(lab.api("DELETE", &path, Value::Null).await.0, 204);
    }
    assert_eq!(lab.accepted("GET", "/proxies", Value::Null).await, json!({}));
}

#[tokio::test]
async fn every_response_has_its_own_id_and_browsers_are_refused() {
    let lab = ToxicLab::start().await;
    let head = async |headers: &str| {
        let mut peer = connect(lab.control).await;
        peer.send(format!("GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n")).await;
        let text = String::from_utf8(peer.rest().await.0).expect("text");
        let id = text.lines().find_map(|line| line.strip_prefix("x-toxiproxy-request-id: ")).map(str::to_owned);
        (text, id.expect("an id"))
    };
    let ((text, one), (_, other)) = (head("").await, head("User-Agent: curl/8\r\n").await);
    assert_eq!(text.split_once("\r\n\r\n").expect("a head").1, "{\"version\": \"2.5.0\"}\n");
    assert!(text.contains(concat!("server: paylab/", env!("CARGO_PKG_VERSION"), "\r\n")), "{text}");
    assert!(text.contains("content-type: application/json;charset=utf-8\r\n"), "{text}");
    assert_ne!(one, other);
    let (text, _) = head("User-Agent: Mozilla/5.0 (X11)\r\n").await;
    assert!(text.starts_with("HTTP/1.1 403 "), "{text}");
}

#[tokio::test]
async fn metrics_have_toxiproxys_names() {
    let lab = ToxicLab::start().await;
    let address = lab.proxy_with([]).await;
    let (mut client, mut service) = lab.connection(address).await;
    talk(&mut client, &mut service).await;
    for (name, direction) in [
        ("toxiproxy_proxy_received_bytes_total", "upstream"),
        ("toxiproxy_proxy_sent_bytes_total", "upstream"),
        ("toxiproxy_proxy_received_bytes_total", "downstream"),
        ("toxiproxy_proxy_sent_bytes_total", "downstream"),
    ] {
        let (listener, upstream) = (address, lab.upstream());
        let labels = format!(r#"direction="{direction}",proxy="p",listener="{listener}",upstream="{upstream}""#);
        assert_eq!(lab.metric(name, &labels).await, 4, "{name} {labels}");
    }
    let proxy = r#"proxy="p""#;
    assert_eq!(lab.metric("paylab_proxy_connections_open", proxy).await, 1);
    drop((client, service));
    lab.until_metric("paylab_proxy_connections_open", proxy, 0).await;
    assert_eq!(lab.metric("paylab_proxy_connections_total", proxy).await, 1);
}

#[tokio::test]
async fn other_methods_and_other_paths_are_refused() {
    let lab = ToxicLab::start().await;
    lab.proxy_with([toxic("noop", "upstream", json!({}))]).await;
    for (method, path) in
        [("PUT", "/proxies"), ("DELETE", "/proxies/p/toxics"), ("GET", "/reset"), ("POST", "/version")]
    {
        assert_eq!(lab.api(method, path, Value::Null).await.0, 405, "{method} {path}");
    }
    for path in ["/", "/proxies/", "/toxics", "/populate/x"] {
        assert_eq!(lab.api("GET", path, Value::Null).await.0, 404, "{path}");
    }
}
