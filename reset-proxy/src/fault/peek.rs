//! Looks at a client's first bytes without taking any, so that a reset on connect can be the fate of the very attempt
//! that those bytes name.

use std::io;

use paylab_experiment::{payment::AttemptId, record::Protocol};
use rustix::net::{RecvFlags, recv};
use tokio::{io::Interest, net::TcpStream};

use crate::http::head::{self, Parsed};

/// A head that is longer than this is not looked for; its fate takes effect when it was read.
const PEEK_LEN: usize = 8 * 1024;

/// What a client's first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Glimpse {
    pub(crate) attempt: Option<AttemptId>,
    pub(crate) protocol: Protocol,
}

/// Waits until the first bytes tell what they begin; `None` when they never will, without being read.
pub(crate) async fn glimpse(client: &TcpStream) -> Option<Glimpse> {
    let mut bytes = vec![0; PEEK_LEN];
    let mut seen = 0;
    while seen < PEEK_LEN {
        seen = peek_past(client, seen, &mut bytes).await.ok()??;
        match head::request(&bytes[..seen]) {
            Parsed::Whole(head) => return Some(Glimpse { attempt: head.attempt, protocol: Protocol::Http1 }),
            Parsed::Foreign => return Some(Glimpse { attempt: None, protocol: Protocol::Bytes }),
            Parsed::Partial => {}
        }
    }
    None
}

/// Waits until more than `seen` bytes have come; `None` when the client has ended its side and no more will.
async fn peek_past(client: &TcpStream, seen: usize, bytes: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        // A client that has ended its side is ready for ever: waiting again would be a busy loop.
        let has_ended = client.ready(Interest::READABLE).await?.is_read_closed();
        let peeked = client.try_io(Interest::READABLE, || match recv(client, &mut *bytes, RecvFlags::PEEK) {
            // To the runtime, nothing new is nothing at all: it then waits for the next bytes.
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
