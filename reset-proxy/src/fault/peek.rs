//! Reads a client's first bytes without taking them from the socket, so that a fault at `Connect` can take effect on the
//! attempt that those bytes name.

use std::io;

use paylab_core::{payment::AttemptId, witness::record::Protocol};
use rustix::net::{RecvFlags, recv};
use tokio::{io::Interest, net::TcpStream};

use crate::http::{
    head::{HeadLimits, ParsedHead},
    request::parse_request,
};

/// How many bytes are peeked at. A fault at `Connect` takes effect on a longer head when it was read.
const PEEK_LEN: usize = 8 * 1024;

/// What a client's first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peeked {
    pub(crate) attempt: Option<AttemptId>,
    pub(crate) protocol: Protocol,
}

/// Waits until the first bytes show what they begin. `None` when only reading them can show it.
pub(crate) async fn peek(client: &TcpStream, limits: HeadLimits) -> Option<Peeked> {
    let mut bytes = vec![0; PEEK_LEN];
    let mut seen = 0;
    while seen < PEEK_LEN {
        seen = peek_past(client, seen, &mut bytes).await.ok()??;
        match parse_request(&bytes[..seen], limits) {
            ParsedHead::Whole(head) => return Some(Peeked { attempt: head.attempt, protocol: Protocol::Http1 }),
            ParsedHead::Unreadable(_) => return Some(Peeked { attempt: None, protocol: Protocol::Bytes }),
            ParsedHead::Partial => {}
        }
    }
    None
}

/// Waits until more than `seen` bytes have come. `None` when the client has ended its side before that.
async fn peek_past(client: &TcpStream, seen: usize, bytes: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        // The socket of a client that has ended its side is always ready, so waiting again would be a busy loop.
        let has_ended = client.ready(Interest::READABLE).await?.is_read_closed();
        let peeked = client.try_io(Interest::READABLE, || match recv(client, &mut *bytes, RecvFlags::PEEK) {
            // Told that the call would block, the runtime waits for new bytes.
            Ok((_, count)) if count <= seen => Err(io::ErrorKind::WouldBlock.into()),
            Ok((_, count)) => Ok(count),
            Err(error) => Err(error.into()),
        });
        match peeked {
            Ok(count) => return Ok(Some(count)),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Err(_) if has_ended => return Ok(None),
            Err(_) => {}
        }
    }
}
