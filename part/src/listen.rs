//! A TCP listener with a backlog of 1024 connections.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// How many connections may wait to be accepted: as many as the largest experiment has in flight. A client whose connection does not fit
/// tries again only after a second.
const BACKLOG: u32 = 1024;

/// Listens at an address; port 0 lets the system choose. Accepted connections send without delay (`TCP_NODELAY`).
///
/// # Errors
/// The system does not let this process listen there.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    // Accepted sockets inherit this option.
    socket.set_nodelay(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
