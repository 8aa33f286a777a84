//! How a connection ends: with a reset on purpose, or cleanly. Measured: a socket sends an RST when it is dropped as a
//! whole with zero linger, and also, unwanted, when it is dropped with unread bytes.

use std::{io, time::Duration};

use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::TcpStream,
    time::timeout,
};

/// The wait for the peer to close a connection that is being closed cleanly.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The wait for a peer to take what it was sent.
const SENT_TIMEOUT: Duration = Duration::from_secs(5);
/// The wait for the reset with which a closed peer answers bytes.
const RESET_TIMEOUT: Duration = Duration::from_millis(100);
/// This many bytes leave at once: the initial congestion window of ten segments, rounded down.
const SENT_AT_ONCE: u64 = 8 * 1024;
/// How much is read at once of bytes that are discarded.
const DISCARD_LEN: usize = 4 * 1024;

/// Resets a connection. Returns whether the socket accepted the request for a reset.
pub(crate) fn reset(stream: TcpStream) -> bool {
    let accepted = stream.set_zero_linger().is_ok();
    drop(stream);
    accepted
}

/// Closes a connection cleanly: ends this side, then reads what still comes, so that no unread byte turns the close into
/// a reset.
pub(crate) async fn close(mut stream: TcpStream) {
    if stream.shutdown().await.is_ok() {
        await_end(stream).await;
    }
}

/// Waits a moment for the other side to close first, then closes: the side that closes first keeps its port in
/// `TIME_WAIT` for a minute.
pub(crate) async fn await_end(mut stream: TcpStream) {
    // On the heap, because every connection carries this future from its start.
    let mut discarded = vec![0; DISCARD_LEN];
    let read_on = async { while matches!(stream.read(&mut discarded).await, Ok(1..)) {} };
    let _ = timeout(CLOSE_TIMEOUT, read_on).await;
}

/// Waits until the `sent` bytes have left for the peer, so that a reset does not overtake them.
pub(crate) async fn await_sent(stream: TcpStream, sent: u64) -> io::Result<TcpStream> {
    if sent <= SENT_AT_ONCE {
        return Ok(stream);
    }
    // With the smallest send buffer the socket is writable only when almost nothing waits in it. Registering the socket
    // anew makes the runtime ask the kernel again.
    SockRef::from(&stream).set_send_buffer_size(1)?;
    let stream = TcpStream::from_std(stream.into_std()?)?;
    let _ = timeout(SENT_TIMEOUT, stream.writable()).await;
    Ok(stream)
}

/// Whether a peer that has ended its side, and was sent bytes since, has closed its socket. A closed socket answers bytes
/// with a reset; one that still reads does not.
pub(crate) async fn is_closed(mut stream: TcpStream) -> bool {
    // A peer that still reads sees the end at once and does not wait for this answer.
    if stream.shutdown().await.is_err() {
        return true;
    }
    timeout(RESET_TIMEOUT, stream.ready(Interest::ERROR)).await.is_ok()
}
