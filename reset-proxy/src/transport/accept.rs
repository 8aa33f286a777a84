//! Accepting connections, with a pause where the system has no descriptor left. An accepted socket belongs to no runtime yet, because
//! any thread may serve it.

use std::{io, net::TcpStream, time::Duration};

use rustix::net::{SocketFlags, accept_with};
use tokio::{
    io::{Interest, unix::AsyncFd},
    net::TcpListener,
    time::sleep,
};
use tracing::warn;

/// The wait after a connection could not be accepted, in most cases because no descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// A listener whose connections are accepted on this thread.
#[derive(Debug)]
pub(crate) struct Acceptor(AsyncFd<std::net::TcpListener>);

impl Acceptor {
    /// # Errors
    /// The system cannot watch the listener.
    #[expect(
        deprecated,
        reason = "its successor is unsafe, which is forbidden here; a listener that stays where it is meets its demands"
    )]
    pub(crate) fn new(listener: TcpListener) -> io::Result<Self> {
        Ok(Self(AsyncFd::with_interest(listener.into_std()?, Interest::READABLE)?))
    }

    /// Accepts the next connection, and tries again until that succeeds. A named proxy gives its name for the log.
    pub(crate) async fn accept(&self, proxy: Option<&str>) -> TcpStream {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        loop {
            match self.0.async_io(Interest::READABLE, |listener| Ok(accept_with(listener, flags)?)).await {
                Ok(accepted) => return accepted.into(),
                Err(error) => {
                    warn!(proxy, %error, "could not accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}
