//! Paylab's own payment service as a service of somebody else's: payments are passed on as they are, and the ledger is one JSON list, which
//! a contract can read. The load pays through the proxy, so that only its check and its readings of the ledger come here.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

/// How a ledger is asked for. HTTP/1.0, so that the answer is not chunked.
const LEDGER_REQUEST: &[u8] = b"GET /ledger HTTP/1.0\r\n\r\n";

/// Serves until the process ends, and returns where.
pub(crate) fn start(service: SocketAddr) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            // What fails here is missed by the load, which says so.
            thread::spawn(move || answer(client, service));
        }
    });
    Ok(address)
}

fn answer(mut client: TcpStream, service: SocketAddr) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !is_whole(&request) {
        match client.read(&mut buffer)? {
            0 => return Ok(()),
            len => request.extend_from_slice(&buffer[..len]),
        }
    }
    let is_list = request.starts_with(b"GET ");
    let mut service = TcpStream::connect(service)?;
    service.write_all(if is_list { LEDGER_REQUEST } else { &request })?;
    let mut answer = Vec::new();
    service.read_to_end(&mut answer)?;
    client.write_all(&if is_list { as_list(&answer) } else { answer })
}

/// Whether a request has its head and its body.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    length.map_or(0, |length| length.parse().unwrap_or(0)) <= body.len()
}

/// The lines of a ledger as one list.
fn as_list(answer: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(answer);
    let lines = text.split_once("\r\n\r\n").map_or("", |(_, lines)| lines);
    let body = format!("{{\"data\":[{}]}}", lines.trim_end().replace('\n', ","));
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).into_bytes()
}
