//! How a socket ends: with a reset on purpose, or cleanly. What really sends an RST was measured: zero linger, then the
//! whole socket dropped; and, unwanted, a drop with unread bytes.

use std::{io, time::Duration};

use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// A socket that is closed cleanly is read so long for its peer's own end.
const FAREWELL: Duration = Duration::from_secs(1);
/// A peer that has not taken what it was sent after this long will not.
const SETTLE: Duration = Duration::from_secs(5);
/// So many bytes leave at once: the initial congestion window of ten segments, rounded down.
const SENT_AT_ONCE: u64 = 8 * 1024;
/// How much is read at once of what nobody wants.
const SCRAP_LEN: usize = 4 * 1024;

/// Resets a connection. Answers whether the socket could be told to.
pub(crate) fn reset(stream: TcpStream) -> bool {
    let told = stream.set_zero_linger().is_ok();
    drop(stream);
    told
}

/// Closes a connection cleanly: says so, and reads what still comes, so that nothing unread turns the end into a reset.
pub(crate) async fn close(mut stream: TcpStream) {
    if stream.shutdown().await.is_ok() {
        await_end(stream).await;
    }
}

/// Lets the other side close first, for a moment, and closes then: who closes first keeps the port for a minute.
pub(crate) async fn await_end(mut stream: TcpStream) {
    // Not in the future itself, which every connection carries with it from the start.
    let mut scrap = vec![0; SCRAP_LEN];
    let read_on = async { while matches!(stream.read(&mut scrap).await, Ok(1..)) {} };
    let _ = timeout(FAREWELL, read_on).await;
}

/// Waits until the `sent` bytes have left for the peer, so that a reset does not overtake them.
pub(crate) async fn settle(stream: TcpStream, sent: u64) -> io::Result<TcpStream> {
    if sent <= SENT_AT_ONCE {
        return Ok(stream);
    }
    // With the smallest send buffer the socket is writable only when next to nothing waits in it; registering it anew
    // asks the kernel again.
    SockRef::from(&stream).set_send_buffer_size(1)?;
    let stream = TcpStream::from_std(stream.into_std()?)?;
    let _ = timeout(SETTLE, stream.writable()).await;
    Ok(stream)
}
