//! Where to listen, from a text such as `localhost:0`. Errors read as Go's `net.Listen` writes them, because clients of
//! Toxiproxy look at them.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use paylab_part::listen::listen;
use tokio::{
    net::{TcpListener, lookup_host},
    time::timeout,
};

/// The time in which a name must be resolved.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Listens at the first address of a text that is free. Returns the address that the system chose for port 0.
///
/// # Errors
/// The text is no address, or none of its addresses is free.
pub(crate) async fn bind(text: &str) -> Result<(TcpListener, SocketAddr), String> {
    let mut failure = String::new();
    for address in resolve(text).await? {
        match listen(address).and_then(|listener| Ok((listener.local_addr()?, listener))) {
            Ok((address, listener)) => return Ok((listener, address)),
            Err(error) => failure = format!("listen tcp {address}: bind: {}", reason(&error)),
        }
    }
    Err(failure)
}

/// The addresses that a text means, in the order in which they are to be tried.
///
/// # Errors
/// The text has no port or an invalid one, or its host is unknown.
pub(crate) async fn resolve(text: &str) -> Result<Vec<SocketAddr>, String> {
    let address = if text.is_empty() { ":0" } else { text };
    let Some((host, port)) = address.rsplit_once(':') else {
        return Err(format!("listen tcp: address {text}: missing port in address"));
    };
    let Ok(port) = (if port.is_empty() { Ok(0) } else { port.parse::<u16>() }) else {
        return Err(format!("listen tcp: address {port}: invalid port"));
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        let any = [IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
        return Ok(any.map(|ip| SocketAddr::new(ip, port)).into());
    }
    if host == "localhost" {
        return Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))]);
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    match timeout(LOOKUP_TIMEOUT, lookup_host((host, port))).await {
        Ok(Ok(addresses)) => Ok(addresses.collect()),
        Ok(Err(_)) | Err(_) => Err(format!("listen tcp: lookup {host}: no such host")),
    }
}

/// The error in Go's words.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "address already in use".to_owned(),
        io::ErrorKind::AddrNotAvailable => "cannot assign requested address".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}
