//! Resets both sockets, a time after the first chunk or the end of the stream. Interim responses are not yet the answer.

use serde::Serialize;
use tokio::time::Instant;

use crate::{
    http::head::{self, Method, Parsed},
    toxic::definition::{Memory, Step, Stream, delay},
    toxic::fields::{BadBody, Fields},
    toxic::queue::{Chunk, End, Pipe},
    transport::buffer::BUFFER_LEN_MAX,
};

/// The answer of an HTTP/1 service begins so.
const HTTP: &[u8] = b"HTTP/1.";

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ResetPeer {
    /// In milliseconds.
    timeout: i64,
}

/// What has come of a stream so far.
enum Sight {
    /// Not enough to say.
    Unclear,
    /// So many bytes of an interim response.
    Interim(usize),
    /// What the toxic waits for.
    Told,
}

impl ResetPeer {
    pub(crate) fn merge(&mut self, fields: &Fields) -> Result<(), BadBody> {
        fields.integer_into("timeout", &mut self.timeout)
    }

    pub(crate) fn step(&self, memory: &mut Memory, now: Instant, input: &mut Pipe, output: &mut Pipe) -> Step {
        while memory.mark.is_none()
            && let Some(chunk) = input.pop()
        {
            memory.held.push_back(chunk);
            while let Sight::Interim(len) = sight(memory) {
                release(memory, len, output);
            }
            if !memory.held.is_empty() && matches!(sight(memory), Sight::Told) {
                memory.mark = Some(now);
            }
        }
        if input.ended() != End::Open {
            memory.mark.get_or_insert(now);
        }
        match memory.mark {
            None => Step::Wait,
            Some(seen) if seen + delay(self.timeout) <= now => Step::Reset,
            Some(seen) => Step::Until(seen + delay(self.timeout)),
        }
    }
}

fn sight(memory: &Memory) -> Sight {
    if memory.stream == Stream::Upstream {
        return Sight::Told;
    }
    let seen: Vec<u8> = memory.held.iter().flat_map(|chunk| chunk.bytes.iter().copied()).take(BUFFER_LEN_MAX).collect();
    let begins_alike = seen.iter().zip(HTTP).all(|(seen, wanted)| seen == wanted);
    if !begins_alike || seen.len() == BUFFER_LEN_MAX {
        return Sight::Told;
    }
    // Of a response that is not an interim one, the first digit is enough: its head may still be on its way.
    if seen.get(HTTP.len() + 2).is_some_and(|digit| *digit != b'1') {
        return Sight::Told;
    }
    match head::response(&seen, Method::Other) {
        Parsed::Whole(head) if head.is_interim() => Sight::Interim(head.len),
        Parsed::Partial => Sight::Unclear,
        Parsed::Whole(_) | Parsed::Foreign => Sight::Told,
    }
}

/// Lets the first `len` bytes of what is held pass.
fn release(memory: &mut Memory, mut len: usize, output: &mut Pipe) {
    while len > 0
        && let Some(mut chunk) = memory.held.pop_front()
    {
        let bytes = chunk.bytes.split_to(len.min(chunk.bytes.len()));
        len -= bytes.len();
        output.push(Chunk { bytes, received: chunk.received });
        if !chunk.bytes.is_empty() {
            memory.held.push_front(chunk);
        }
    }
}
