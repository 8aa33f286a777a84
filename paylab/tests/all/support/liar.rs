//! A relay in front of a part that falsifies evidence: it passes every request on, but changes the lines of one stream and seals
//! them anew.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use paylab_core::witness::seal::Sealer;
use serde_json::{Value, json};

/// Changes the items of a stream; the last one is the footer.
pub(crate) type Change = Arc<dyn Fn(&mut Vec<Value>) + Send + Sync>;

/// Starts a relay in front of `part` that falsifies the response to `GET path`. It serves until the test process ends.
pub(crate) fn in_front_of(part: &str, path: &'static str, change: Change) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let part = part.to_owned();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let (part, change) = (part.clone(), Arc::clone(&change));
            thread::spawn(move || serve(client, &part, path, &change));
        }
    });
    address
}

fn serve(client: TcpStream, part: &str, path: &str, change: &Change) -> Option<()> {
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        // HTTP/1.0: one response for each connection, and none in chunks.
        if !line.to_ascii_lowercase().starts_with("connection:") {
            head.push_str(&line.replace(" HTTP/1.1", " HTTP/1.0"));
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let target = head.split(' ').nth(1)?.to_owned();
    let mut upstream = TcpStream::connect(part).ok()?;
    upstream.write_all(head.as_bytes()).ok()?;
    upstream.write_all(&body).ok()?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).ok()?;
    if target.split('?').next()? == path {
        answer = falsified(&answer, change)?;
    }
    (&client).write_all(&answer).ok()
}

/// The stream with its lines changed, and with the seal of the changed lines.
fn falsified(answer: &[u8], change: &Change) -> Option<Vec<u8>> {
    let text = String::from_utf8(answer.to_vec()).ok()?;
    let (_, body) = text.split_once("\r\n\r\n")?;
    let mut items: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // Before the load there is nothing to falsify.
    if items.len() > 1 {
        change(&mut items);
    }
    let mut sealer = Sealer::default();
    let mut lines = String::new();
    for item in &mut items {
        if let Some(footer) = item.get_mut("footer") {
            let seal = sealer.seal();
            footer["lines"] = json!(seal.lines);
            footer["sha256"] = json!(seal.sha256);
        }
        let line = format!("{item}\n");
        sealer.add(line.as_bytes());
        lines.push_str(&line);
    }
    Some(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{lines}", lines.len()).into_bytes())
}
