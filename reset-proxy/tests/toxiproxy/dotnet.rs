//! The requests of the two clients for .NET, Toxiproxy.Net and Toxiproxy.Client, as their sources make them with `HttpClient`, and what
//! they read from the responses. Both keep their connection.

use serde_json::{Value, json};

use crate::{
    support::{Peer, soon},
    toxic_lab::{ToxicLab, connect},
};

/// How a client sends the body of a request.
#[derive(Debug, Clone, Copy)]
enum Sending {
    WithLength,
    /// As `PostAsJsonAsync` does.
    InChunks,
    /// As the .NET Framework does: it waits until the server wants the body.
    WhenAsked,
}

/// One client, with its connection.
struct Client(Peer);

impl Client {
    async fn connect(lab: &ToxicLab) -> Self {
        Self(connect(lab.control).await)
    }

    /// Sends a request without a body.
    async fn send(&mut self, method: &str, path: &str) -> (u16, Value) {
        // HttpClient says so for POST, also when there is no content.
        let length = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
        self.0.send(format!("{method} {path} HTTP/1.1\r\nHost: localhost:8474\r\n{length}\r\n")).await;
        self.response().await
    }

    async fn post(&mut self, sending: Sending, path: &str, body: &Value) -> (u16, Value) {
        self.send_body(("POST", path), sending, body).await
    }

    async fn send_body(&mut self, (method, path): (&str, &str), sending: Sending, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost:8474\r\nContent-Type: application/json; charset=utf-8\r\n"
        );
        let length = format!("Content-Length: {}\r\n", body.len());
        match sending {
            Sending::WithLength => self.0.send(format!("{head}{length}\r\n{body}")).await,
            Sending::InChunks => {
                let chunk = format!("{:X}\r\n{body}\r\n0\r\n\r\n", body.len());
                self.0.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}")).await;
            }
            Sending::WhenAsked => {
                self.0.send(format!("{head}{length}Expect: 100-continue\r\n\r\n")).await;
                self.0.expect("HTTP/1.1 100 Continue\r\n\r\n").await;
                self.0.send(body).await;
            }
        }
        self.response().await
    }

    /// The status and the body of a response, after which the connection goes on.
    async fn response(&mut self) -> (u16, Value) {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            head.push(char::from(self.0.next_byte().await.expect("a response")));
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a length"))];
        soon("a body", tokio::io::AsyncReadExt::read_exact(&mut self.0.0, &mut body)).await.expect("a whole body");
        (status, if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("JSON") })
    }
}

/// Newtonsoft's names begin with capitals, and what is not set is null.
#[tokio::test]
async fn toxiproxy_net_works_unchanged() {
    let lab = ToxicLab::start().await;
    let mut client = Client::connect(&lab).await;
    for (name, sending) in [("one", Sending::WithLength), ("two", Sending::InChunks), ("three", Sending::WhenAsked)] {
        let body = json!({"Name": name, "Listen": "127.0.0.1:0", "Upstream": "example.com", "Enabled": true});
        let (status, shown) = client.post(sending, "/proxies", &body).await;
        assert_eq!(
            (status, &shown["name"], &shown["upstream"]),
            (201, &json!(name), &json!("example.com")),
            "{sending:?}"
        );
        assert_eq!(client.post(sending, "/proxies", &body).await.0, 409, "{sending:?}");
    }
    let slicer = json!({"Attributes": {"average_size": 10, "size_variation": 1, "Delay": 5}, "Type": "slicer",
        "Name": "SlicerToxicTest", "Stream": "UpStream", "Toxicity": null});
    let shown = json!({"attributes": {"average_size": 10, "size_variation": 1, "delay": 5}, "type": "slicer",
        "name": "SlicerToxicTest", "stream": "upstream", "toxicity": 1});
    assert_eq!(client.post(Sending::WithLength, "/proxies/one/toxics", &slicer).await, (200, shown.clone()));
    assert_eq!(client.post(Sending::WithLength, "/proxies/one/toxics", &slicer).await.0, 409);
    let close = json!({"Attributes": {"Delay": 50}, "Type": "slow_close", "Name": null, "Stream": "DownStream", "Toxicity": 0.5});
    let (status, added) = client.post(Sending::WithLength, "/proxies/one/toxics", &close).await;
    assert_eq!((status, &added["name"], &added["toxicity"]), (200, &json!("slow_close_downstream"), &json!(0.5)));
    let changed = json!({"Attributes": {"average_size": 20, "size_variation": 2, "Delay": 10}, "Type": "slicer",
        "Name": "NewName", "Stream": "DownStream", "Toxicity": null});
    let (status, after) = client.post(Sending::WithLength, "/proxies/one/toxics/SlicerToxicTest", &changed).await;
    // Neither the name nor the stream of a toxic can be changed.
    assert_eq!((status, &after["name"], &after["stream"]), (200, &shown["name"], &shown["stream"]));
    assert_eq!(client.send("GET", "/proxies/one/toxics").await, (200, json!([after, added])));
    assert_eq!(client.send("DELETE", "/proxies/one/toxics/SlicerToxicTest").await, (204, Value::Null));
    assert_eq!(client.send("POST", "/reset").await, (204, Value::Null));
    assert_eq!(client.send("GET", "/proxies").await.1["one"]["toxics"], json!([]));
    assert_eq!(client.send("DELETE", "/proxies/one").await, (204, Value::Null));
    assert_eq!(client.send("GET", "/proxies/one").await.0, 404);
}

/// This client refuses servers whose version is more than numbers, and sends all of a proxy with each change.
#[tokio::test]
async fn toxiproxy_client_works_unchanged() {
    let lab = ToxicLab::start().await;
    let mut client = Client::connect(&lab).await;
    let version = client.send("GET", "/version").await.1;
    let numbers = version["version"].as_str().expect("text").split('.').map(str::parse::<u32>);
    assert_eq!(numbers.collect::<Result<Vec<_>, _>>(), Ok(vec![2, 5, 0]));
    let mut proxy =
        json!({"name": "p", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1", "enabled": true, "toxics": []});
    let (status, shown) = client.post(Sending::WithLength, "/proxies", &proxy).await;
    assert_eq!((status, &shown["enabled"], &shown["toxics"]), (201, &json!(true), &json!([])));
    let toxic = json!({"name": "slow", "type": "latency", "stream": "Upstream", "toxicity": 0.75, "attributes": {"latency": 7, "jitter": 0}});
    let (status, added) = client.post(Sending::WithLength, "/proxies/p/toxics", &toxic).await;
    assert_eq!((status, &added["stream"], &added["toxicity"]), (200, &json!("upstream"), &json!(0.75)));
    (proxy["enabled"], proxy["toxics"]) = (json!(false), json!([added]));
    for method in ["POST", "PATCH"] {
        let changed = client.send_body((method, "/proxies/p"), Sending::WithLength, &proxy).await;
        assert_eq!((changed.0, &changed.1["enabled"]), (200, &json!(false)), "{method}");
        assert_eq!(changed.1["toxics"], json!([added]), "{method} changes no toxic");
        let toxic = client.send_body((method, "/proxies/p/toxics/slow"), Sending::WithLength, &added).await;
        assert_eq!(toxic, (200, added.clone()), "{method}");
    }
}
