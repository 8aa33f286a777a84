//! TLS to a service that is not Paylab's own: who may sign its certificate, the handshake, and why one fails, in a sentence.
//!
//! It must not know what is said on the connection.

use std::{fmt, io, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A connection under TLS.
pub type TlsStream = tokio_rustls::client::TlsStream<TcpStream>;

/// The only protocol that is offered. A service that speaks HTTP/2 alone refuses the handshake.
const ALPN: &[u8] = b"http/1.1";
const SECONDS_OF_A_DAY: u64 = 86_400;

/// Makes TLS of connections to one service. A copy shares its sessions, so that later handshakes are short.
#[derive(Clone)]
pub struct TlsDialer {
    connector: TlsConnector,
    name: ServerName<'static>,
    roots: Roots,
}

/// Who may sign the service's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Roots {
    /// The authorities that this machine knows.
    System,
    /// Those that the user has named, and nobody else.
    Given,
}

/// Why TLS cannot be used at all.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TlsError {
    /// The host of the URL.
    #[error("{0} is not a name that a certificate can have")]
    Name(String),
    /// The user's certificates.
    #[error("the CA in spec.target.ca {0}")]
    Ca(String),
    /// No authority is known.
    #[error(
        "this machine knows no certificate authority; install its package ca-certificates, or put the CA into spec.target.ca"
    )]
    NoRoots,
    /// The library does not take its own defaults.
    #[error("TLS cannot be used: {0}")]
    Unusable(String),
}

/// Why a connection did not become TLS.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct HandshakeError(String);

impl TlsDialer {
    /// A dialer for the service of this name or address. `ca` has certificates in PEM; without it, the authorities that this machine knows
    /// may sign.
    ///
    /// # Errors
    /// There is nobody who may sign, or the name is none.
    pub fn new(host: &str, ca: Option<&str>) -> Result<Self, TlsError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsError::Name(host.to_owned()))?;
        let (store, roots) = match ca {
            Some(pem) => (given(pem)?, Roots::Given),
            None => (system()?, Roots::System),
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder =
            builder.with_safe_default_protocol_versions().map_err(|error| TlsError::Unusable(error.to_string()))?;
        let mut config = builder.with_root_certificates(store).with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name, roots })
    }

    /// Makes TLS of a new connection.
    ///
    /// # Errors
    /// The service does not speak TLS, or is not who it should be. The text says what to do.
    pub async fn handshake(&self, stream: TcpStream) -> Result<TlsStream, HandshakeError> {
        let made = self.connector.connect(self.name.clone(), stream).await;
        made.map_err(|error| HandshakeError(self.why(&error)))
    }

    fn why(&self, error: &io::Error) -> String {
        let name = self.name.to_str();
        let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match cause {
            Some(rustls::Error::InvalidCertificate(error)) => {
                format!("the certificate of {name} {}", self.why_invalid(error))
            }
            Some(rustls::Error::InvalidMessage(_)) => {
                format!("what answers at {name} does not speak TLS; use http:// in spec.target.url")
            }
            Some(rustls::Error::AlertReceived(alert)) => format!("{name} refuses the TLS handshake ({alert:?})"),
            Some(error) => format!("TLS with {name} failed: {error}"),
            None => match error.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                    format!(
                        "{name} ended the connection in the TLS handshake; if it does not speak TLS, use http:// in spec.target.url"
                    )
                }
                _ => format!("TLS with {name} failed: {error}"),
            },
        }
    }

    fn why_invalid(&self, error: &CertificateError) -> String {
        match error {
            CertificateError::UnknownIssuer => match self.roots {
                Roots::System => {
                    "is signed by a CA that this machine does not know; put the CA's certificate into spec.target.ca"
                }
                Roots::Given => "is not signed by the CA in spec.target.ca; put the CA's certificate there",
            }
            .to_owned(),
            CertificateError::ExpiredContext { time, not_after } => {
                let days = time.as_secs().saturating_sub(not_after.as_secs()) / SECONDS_OF_A_DAY;
                format!("has expired, {days} days ago; renew it")
            }
            CertificateError::Expired => "has expired; renew it".to_owned(),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "is not valid yet; look at the clock of this machine".to_owned()
            }
            CertificateError::NotValidForNameContext { presented, .. } => {
                let presented = presented.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", ");
                format!("is not for that name, but for {presented}; name it so in spec.target.url")
            }
            CertificateError::NotValidForName => {
                "is not for that name; use a name of the certificate in spec.target.url".to_owned()
            }
            error => format!("cannot be trusted: {error}"),
        }
    }
}

impl fmt::Debug for TlsDialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connector: _, name, roots } = self;
        f.debug_struct("TlsDialer").field("name", name).field("roots", roots).finish()
    }
}

impl From<HandshakeError> for io::Error {
    fn from(error: HandshakeError) -> Self {
        Self::other(error)
    }
}

/// A name of a certificate without the kind that the library puts around it, as in `DnsName("a.example")`.
fn plain(presented: &str) -> &str {
    let inner = presented.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(presented).trim_matches('"')
}

fn given(pem: &str) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| TlsError::Ca(format!("is not PEM: {error}")))?;
        store.add(certificate).map_err(|error| TlsError::Ca(format!("cannot be used: {error}")))?;
    }
    if store.is_empty() { Err(TlsError::Ca("has no certificate".to_owned())) } else { Ok(store) }
}

fn system() -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    // Single certificates that cannot be read are no loss: a service that is signed by one is refused with a sentence.
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() { Err(TlsError::NoRoots) } else { Ok(store) }
}
