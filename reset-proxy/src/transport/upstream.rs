//! The service behind the proxy: its name, which is resolved when it is dialled, and opening connections to it.

use std::{
    io,
    net::SocketAddr,
    pin::pin,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use thiserror::Error;
use tokio::{
    net::{TcpSocket, TcpStream, lookup_host},
    task::yield_now,
    time::timeout,
};

/// How long an answer of the resolver is reused, so that a new connection does not cost a lookup.
const RESOLVED_FOR: Duration = Duration::from_secs(1);
/// How many addresses of one name are tried.
const ADDRESSES_MAX: usize = 8;

/// Where the service is: `HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority(String);

/// A text that is not `HOST:PORT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("is not HOST:PORT, such as 127.0.0.1:8080")]
pub struct AuthorityError;

/// The service, with what dialling it needs.
#[derive(Debug)]
pub(crate) struct Upstream {
    authority: String,
    dial_timeout: Duration,
    resolved: Mutex<Option<(Instant, Arc<[SocketAddr]>)>>,
}

impl FromStr for Authority {
    type Err = AuthorityError;

    fn from_str(text: &str) -> Result<Self, AuthorityError> {
        let (host, port) = text.rsplit_once(':').ok_or(AuthorityError)?;
        let named = !host.is_empty() && !host.contains(char::is_whitespace);
        let numbered = port.parse::<u16>().is_ok_and(|port| port > 0);
        if named && numbered { Ok(Self(text.to_owned())) } else { Err(AuthorityError) }
    }
}

impl std::fmt::Display for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<SocketAddr> for Authority {
    fn from(address: SocketAddr) -> Self {
        Self(address.to_string())
    }
}

impl Upstream {
    pub(crate) const fn new(authority: String, dial_timeout: Duration) -> Self {
        Self { authority, dial_timeout, resolved: Mutex::new(None) }
    }

    /// Opens a connection within the dial timeout.
    pub(crate) async fn dial(&self) -> io::Result<TcpStream> {
        let mut dialling = pin!(self.dial_unbounded());
        let stream = tokio::select! {
            biased;
            stream = &mut dialling => stream,
            // On a local network the connection is open one turn of the runtime later and needs no timer.
            () = yield_now() => {
                timeout(self.dial_timeout, dialling).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            }
        };
        if stream.is_err() {
            *self.resolved.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        stream
    }

    async fn dial_unbounded(&self) -> io::Result<TcpStream> {
        let mut failure = io::ErrorKind::AddrNotAvailable.into();
        for address in self.addresses().await?.iter() {
            match connect(*address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn addresses(&self) -> io::Result<Arc<[SocketAddr]>> {
        let now = Instant::now();
        let known = self.resolved.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, addresses)) = known.filter(|(when, _)| now - *when < RESOLVED_FOR) {
            return Ok(addresses);
        }
        let addresses: Arc<[_]> = lookup_host(&self.authority).await?.take(ADDRESSES_MAX).collect();
        *self.resolved.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, Arc::clone(&addresses)));
        Ok(addresses)
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_nodelay(true)?;
    socket.connect(address).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_has_a_host_and_a_port() {
        for text in ["127.0.0.1:8080", "[::1]:8080", "payment-service:80"] {
            assert_eq!(text.parse::<Authority>().unwrap().to_string(), text);
        }
        for text in ["", "8080", ":8080", "host", "host:", "host:0", "host:70000", "a b:1"] {
            assert_eq!(text.parse::<Authority>(), Err(AuthorityError), "{text:?}");
        }
    }
}
