//! Accepting connections, with a pause where the system has no descriptor left.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tracing::warn;

/// The wait after a connection could not be accepted, in most cases because no descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Accepts the next connection, and tries again until that succeeds. A named proxy gives its name for the log.
pub(crate) async fn accept(listener: &TcpListener, proxy: Option<&str>) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                warn!(proxy, %error, "could not accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
