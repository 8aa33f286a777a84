//! A small service that is not Paylab's, on a real socket: a script of the test decides how it answers.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Instant,
};

use serde_json::{Value, json};

/// A request as it came.
pub(crate) struct Request {
    pub(crate) method: String,
    /// The path, with its query.
    pub(crate) path: String,
    /// The lines of the head after the first.
    pub(crate) headers: String,
    pub(crate) body: String,
}

/// What is booked: key, reference, amount.
#[derive(Default)]
pub(crate) struct Shop {
    pub(crate) booked: Vec<(String, String, i64)>,
    /// When each was booked.
    pub(crate) since: Vec<Instant>,
    /// How often anything was asked for, as far as a script counts it.
    pub(crate) asked: u64,
}

/// Status, further headers, body.
pub(crate) type Answer = (u16, String, String);

/// The contract of [`honest`], to be completed by a URL and the spec around it.
pub(crate) const CONTRACT: &str = r#"
    pay:
      post: /payments
      headers: {Idempotency-Key: "{key}"}
      json: {reference: "{reference}", amount: "{amount.minor}"}
      answers: [{status: [200], json: {"$.replayed": [true]}, means: Repeat}, {status: [200, 201], means: Acknowledged}]
      identity: "$.id"
    ledger:
      list: {get: /payments, items: "$.data[*]", reference: "$.reference", minor: "$.amount", next: {url: "$.next"}}
      settle: {quiet: 20ms, within: 400ms}
"#;

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let line =
            self.headers.lines().find(|line| line.to_lowercase().starts_with(&format!("{}:", name.to_lowercase())))?;
        line.split_once(':').map(|(_, value)| value.trim())
    }
}

pub(crate) fn json_answer(status: u16, body: &Value) -> Answer {
    (status, String::new(), body.to_string())
}

/// A service that tells repeats by their key, and lists what is booked in pages of 20.
pub(crate) fn honest(request: &Request, shop: &mut Shop) -> Answer {
    if request.method == "POST" { pay(request, shop) } else { list(request, shop) }
}

/// Books a payment once for each key.
pub(crate) fn pay(request: &Request, shop: &mut Shop) -> Answer {
    let body: Value = serde_json::from_str(&request.body).unwrap();
    let key = request.header("Idempotency-Key").unwrap_or_default().to_owned();
    if let Some(place) = shop.booked.iter().position(|(known, _, _)| *known == key) {
        return json_answer(200, &json!({"id": place, "replayed": true}));
    }
    let reference = body["reference"].as_str().unwrap().to_owned();
    shop.booked.push((key, reference, body["amount"].as_i64().unwrap()));
    shop.since.push(Instant::now());
    json_answer(201, &json!({"id": shop.booked.len() - 1}))
}

/// Lists what is booked.
pub(crate) fn list(request: &Request, shop: &Shop) -> Answer {
    let from: usize = request.path.split_once("from=").map_or(0, |(_, from)| from.parse().unwrap());
    let item = |(_, reference, amount): &(String, String, i64)| json!({"reference": reference, "amount": amount});
    let data: Vec<_> = shop.booked.iter().skip(from).take(20).map(item).collect();
    let next = (from + 20 < shop.booked.len()).then(|| format!("/payments?from={}", from + 20));
    json_answer(200, &json!({"data": data, "next": next}))
}

/// Starts a service. It serves until the test process ends.
pub(crate) fn start(answer: impl Fn(&Request, &mut Shop) -> Answer + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (shop, answer) = (Arc::new(Mutex::new(Shop::default())), Arc::new(answer));
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let (shop, answer) = (Arc::clone(&shop), Arc::clone(&answer));
            thread::spawn(move || serve(client, &*answer, &shop));
        }
    });
    address
}

fn serve(mut client: TcpStream, answer: impl Fn(&Request, &mut Shop) -> Answer, shop: &Mutex<Shop>) -> Option<()> {
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let (mut first, mut headers) = (String::new(), String::new());
    reader.read_line(&mut first).ok()?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 || line == "\r\n" {
            break;
        }
        headers.push_str(&line);
    }
    let mut words = first.split(' ').map(str::to_owned);
    let mut request = Request { method: words.next()?, path: words.next()?, headers, body: String::new() };
    let length = request.header("Content-Length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    request.body = String::from_utf8(body).ok()?;
    let (status, headers, body) = answer(&request, &mut shop.lock().unwrap());
    let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n", body.len());
    client.write_all(format!("{head}{body}").as_bytes()).ok()
}
