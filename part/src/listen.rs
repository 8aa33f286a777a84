//! A TCP listener with a backlog of 1024 connections, for IPv4 and IPv6 alike.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket};

/// How many connections may wait to be accepted: as many as the largest experiment has in flight. A client whose connection does not fit
/// tries again only after a second.
const BACKLOG: u32 = 1024;

/// Every address of this machine, of both families: see [`listen`].
#[must_use]
pub const fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)
}

/// Listens at an address; port 0 lets the system choose. Accepted connections send without delay (`TCP_NODELAY`). At `[::]` clients of
/// both families connect, whatever `net.ipv6.bindv6only` says; where the system has no IPv6, it stands for `0.0.0.0`.
///
/// # Errors
/// The system does not let this process listen there.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let is_everywhere = address.ip() == Ipv6Addr::UNSPECIFIED;
    match listen_at(address) {
        Err(error) if is_everywhere && lacks_ipv6(&error) => {
            listen_at(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
        }
        listener => listener,
    }
}

fn listen_at(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if address.is_ipv6() {
        SockRef::from(&socket).set_only_v6(false)?;
    }
    socket.set_reuseaddr(true)?;
    // Accepted sockets inherit this option.
    socket.set_nodelay(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Whether the system has no IPv6 at all (the kernel refuses the socket), or no address of it (the kernel refuses to bind).
fn lacks_ipv6(error: &io::Error) -> bool {
    /// `EAFNOSUPPORT` on Linux; the standard library has no kind for it.
    const ADDRESS_FAMILY_NOT_SUPPORTED: i32 = 97;
    error.raw_os_error() == Some(ADDRESS_FAMILY_NOT_SUPPORTED) || error.kind() == io::ErrorKind::AddrNotAvailable
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, time::Duration};

    use tokio::{net::TcpStream, time::timeout};

    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    /// Whether a client of this address reaches the listener.
    async fn reaches(ip: IpAddr, listener: &TcpListener) -> bool {
        let address = SocketAddr::new(ip, listener.local_addr().unwrap().port());
        let (client, accepted) = tokio::join!(TcpStream::connect(address), timeout(SOON, listener.accept()));
        client.is_ok() && accepted.is_ok_and(|accepted| accepted.is_ok())
    }

    #[tokio::test]
    async fn clients_of_both_families_reach_a_listener_that_is_everywhere() {
        let listener = listen(everywhere(0)).unwrap();
        assert!(reaches(Ipv4Addr::LOCALHOST.into(), &listener).await);
        if listener.local_addr().unwrap().is_ipv6() {
            assert!(reaches(Ipv6Addr::LOCALHOST.into(), &listener).await);
        }
    }

    #[tokio::test]
    async fn a_listener_of_one_address_hears_its_own_family_only() {
        let listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await.is_err());
        assert!(reaches(Ipv4Addr::LOCALHOST.into(), &listener).await);
    }

    #[test]
    fn only_a_system_without_ipv6_is_a_reason_to_fall_back() {
        assert!(lacks_ipv6(&io::Error::from_raw_os_error(97)));
        assert!(lacks_ipv6(&io::ErrorKind::AddrNotAvailable.into()));
        assert!(!lacks_ipv6(&io::ErrorKind::AddrInUse.into()) && !lacks_ipv6(&io::ErrorKind::PermissionDenied.into()));
    }
}
