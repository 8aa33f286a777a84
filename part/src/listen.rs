//! A listener that the largest experiment does not overflow.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// As many connections may wait to be accepted as the largest experiment has in flight; an overflow costs a second.
const BACKLOG: u32 = 1024;

/// Listens at an address; port 0 lets the system choose. What is accepted sends without delay.
///
/// # Errors
/// The address cannot be had.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    // Accepted sockets inherit it.
    socket.set_nodelay(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
