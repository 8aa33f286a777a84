//! A service of the user's own to which nothing leads yet: the proof of its contract waits as long as the load has patience.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread,
    time::Duration,
};

use load_job::{
    Error, Load,
    check::{Extent, Step, check},
};
use paylab_resource::plan::{contract, plan};
use serde_json::json;
use socket2::{Domain, Socket, Type};

/// What a check says of the service at this `HOST:PORT`.
async fn checked(address: &str, patience: Duration) -> Result<Vec<Step>, Error> {
    let target = json!({
        "url": format!("http://{address}"),
        "pay": {"post": "/p", "text": "{reference}"},
        "ledger": {"list": {"get": "/p", "items": "$[*]", "reference": "$.r", "minor": "$.m"}},
    });
    let spec = serde_json::from_value(json!({"claim": "AtMostOnce", "target": target})).unwrap();
    let contract = Arc::new(contract(&spec).unwrap().unwrap());
    let load = Load {
        plan: plan(&spec, 0).unwrap(),
        run: "run-1".parse().unwrap(),
        proxy: address.to_owned(),
        control: address.to_owned(),
        service: address.to_owned(),
        contract: Some(contract.clone()),
        tls: None,
        replicas: Vec::new(),
        worker: 0,
        lease: Duration::ZERO,
        patience,
    };
    check(&load, &contract, Extent::Essential, |_| ()).await
}

/// A bound socket that refuses every connection until it listens.
fn bound() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// Answers 400 to everybody, from a moment on.
fn answer_late(socket: Socket) {
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(300));
        socket.listen(16).unwrap();
        for mut client in TcpListener::from(socket).incoming().flatten() {
            let read = client.read(&mut [0; 4096]);
            let _ = read.and_then(|_| client.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"));
        }
    });
}

#[tokio::test]
async fn a_service_that_comes_late_is_paid_by_a_load_with_patience_only() {
    let (socket, address) = bound();
    let hasty = checked(&address.to_string(), Duration::ZERO).await.unwrap();
    assert!(hasty[0].answered.contains("nothing answers"), "{hasty:?}");
    answer_late(socket);
    let patient = checked(&address.to_string(), Duration::from_secs(20)).await.unwrap();
    assert!(patient[0].answered.starts_with("400"), "{patient:?}");
}

#[tokio::test]
async fn a_service_whose_name_leads_nowhere_is_named() {
    let error = checked("absent.invalid:80", Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(&error, Error::Service { address, .. } if address == "absent.invalid:80"), "{error}");
    assert!(error.to_string().starts_with("cannot find the service absent.invalid:80: "), "{error}");
}
