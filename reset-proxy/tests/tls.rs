//! A service that speaks TLS: requests reach it as they reach a plain one, and faults end its side of the connection at the same points.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{io, sync::Arc};

use paylab_core::{fault::point::Point, witness::record::End};
use paylab_part::contract::READY_PATH;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use support::{Ending, Lab, OK, OK_LAST, always, pay, rules, soon};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
    server::TlsStream,
};

/// A proxy in front of a service whose certificate is for this name.
struct Secured {
    lab: Lab,
    acceptor: TlsAcceptor,
}

impl Secured {
    async fn start(name: &str) -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = authority.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(authority, key);
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let mut config = config.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        // A service that writes first would fail at a reset before it has read what came before that.
        config.send_tls13_tickets = 0;
        let lab = Lab::start_with(|options| {
            options.upstream_tls_name = Some("localhost".to_owned());
            options.upstream_ca = Some(pem);
        });
        Self { lab: lab.await, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }

    async fn resetting(at: Point) -> Self {
        let secured = Self::start("localhost").await;
        secured.lab.put(&rules("run-1", vec![always("reset", at)])).await;
        secured
    }

    /// The next connection that the proxy makes.
    async fn service(&self) -> TlsStream<TcpStream> {
        soon("a handshake", self.acceptor.accept(self.lab.service().await.0)).await.unwrap()
    }
}

async fn expect(service: &mut TlsStream<TcpStream>, text: &str) {
    let mut bytes = vec![0; text.len()];
    soon("bytes", service.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes), text);
}

async fn send(service: &mut TlsStream<TcpStream>, text: &str) {
    service.write_all(text.as_bytes()).await.unwrap();
    service.flush().await.unwrap();
}

/// How the socket under the service's connection ends.
async fn ending(service: TlsStream<TcpStream>) -> Ending {
    let (mut socket, _) = service.into_inner();
    let mut rest = Vec::new();
    match soon("the end", socket.read_to_end(&mut rest)).await {
        Ok(_) => Ending::Eof,
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ending::Reset,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_connection_carries_request_after_request_to_the_named_service() {
    let secured = Secured::start("localhost").await;
    secured.lab.put(&rules("run-1", vec![])).await;
    let mut client = secured.lab.client().await;
    client.send(pay(1, 1)).await;
    let mut service = secured.service().await;
    assert_eq!(service.get_ref().1.server_name(), Some("localhost"));
    expect(&mut service, &pay(1, 1)).await;
    send(&mut service, OK).await;
    client.expect(OK).await;
    // Longer than what a socket takes at once, so that a part of it waits in the session.
    let long = "x".repeat(8 * 1024 * 1024);
    let request = format!("POST / HTTP/1.1\r\nPaylab-Attempt: 2/1\r\nContent-Length: {}\r\n\r\n{long}", long.len());
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{long}", long.len());
    tokio::join!(client.send(&request), expect(&mut service, &request));
    tokio::join!(send(&mut service, &answer), client.expect(&answer));
    let (lines, _) = secured.lab.record().await;
    assert_eq!(lines.iter().map(|line| line.end).collect::<Vec<_>>(), [End::Relayed, End::Relayed]);
    assert_eq!((lines[1].bytes_up, lines[1].bytes_down), (request.len() as u64, answer.len() as u64));
}

#[tokio::test]
async fn in_the_middle_of_the_request_the_service_gets_half_of_it_and_a_reset() {
    let secured = Secured::resetting(Point::MidRequest).await;
    let mut client = secured.lab.client().await;
    client.send(pay(7, 2)).await;
    let mut service = secured.service().await;
    expect(&mut service, &pay(7, 2)[..pay(7, 2).len() - 5]).await;
    assert_eq!(ending(service).await, Ending::Reset);
    client.ends_with(Ending::Reset).await;
    let line = secured.lab.only_line().await;
    assert_eq!((line.end, line.forwarded_whole, line.rst_service_ok), (End::Faulted, false, Some(true)));
}

#[tokio::test]
async fn after_the_request_the_client_is_reset_and_the_service_may_answer() {
    let secured = Secured::resetting(Point::AfterRequest).await;
    let mut client = secured.lab.client().await;
    client.send(pay(7, 2)).await;
    let mut service = secured.service().await;
    expect(&mut service, &pay(7, 2)).await;
    client.ends_with(Ending::Reset).await;
    send(&mut service, OK_LAST).await;
    let line = secured.lab.only_line().await;
    assert_eq!((line.end, line.forwarded_whole, line.status), (End::Faulted, true, Some(200)));
}

#[tokio::test]
async fn around_the_response_the_client_is_reset_and_the_service_sees_a_clean_end() {
    for (at, seen) in [
        (Point::BeforeResponse, ""),
        (Point::MidResponse, &OK_LAST[..OK_LAST.len() - 3]),
        (Point::AfterResponse, OK_LAST),
    ] {
        let secured = Secured::resetting(at).await;
        let mut client = secured.lab.client().await;
        client.send(pay(7, 2)).await;
        let mut service = secured.service().await;
        expect(&mut service, &pay(7, 2)).await;
        send(&mut service, OK_LAST).await;
        client.expect(seen).await;
        client.ends_with(Ending::Reset).await;
        service.shutdown().await.unwrap();
        assert_eq!(ending(service).await, Ending::Eof, "{at:?}");
        let line = secured.lab.only_line().await;
        assert_eq!((line.end, line.status, line.bytes_down), (End::Faulted, Some(200), seen.len() as u64), "{at:?}");
    }
}

#[tokio::test]
async fn bytes_that_are_not_http_go_both_ways_and_so_do_their_ends() {
    let secured = Secured::start("localhost").await;
    secured.lab.put(&rules("run-1", vec![])).await;
    let mut client = secured.lab.client().await;
    client.send("\u{1}ask\n").await;
    let mut service = secured.service().await;
    expect(&mut service, "\u{1}ask\n").await;
    client.half_close().await;
    assert_eq!(soon("the end", service.read(&mut [0])).await.unwrap(), 0);
    let long = "answer".repeat(1_000_000);
    tokio::join!(send(&mut service, &long), client.expect(&long));
    service.shutdown().await.unwrap();
    client.ends_with(Ending::Eof).await;
    assert_eq!(secured.lab.only_line().await.end, End::Relayed);
}

#[tokio::test]
async fn a_service_that_cannot_prove_its_name_is_as_one_that_cannot_be_reached() {
    let secured = Secured::start("pay.example").await;
    secured.lab.put(&rules("run-1", vec![])).await;
    let refused = async { assert!(secured.acceptor.accept(secured.lab.service().await.0).await.is_err()) };
    let mut client = secured.lab.client().await;
    client.send(pay(7, 2)).await;
    refused.await;
    client.ends_with(Ending::Reset).await;
    assert_eq!(secured.lab.only_line().await.end, End::Unreachable);
    let asked = secured.lab.control("GET", READY_PATH, "");
    let refused = async { assert!(secured.acceptor.accept(secured.lab.service().await.0).await.is_err()) };
    let ((status, body), ()) = tokio::join!(asked, refused);
    assert_eq!(status, 503);
    assert!(body.contains("the certificate of localhost is not for that name, but for pay.example"), "{body}");
}
