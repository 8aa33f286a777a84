//! Resets both sockets a time after the first chunk or the end of the stream. Interim responses pass and do not count as
//! the first chunk.

use serde::Serialize;
use tokio::time::Instant;

use crate::{
    http::{
        head::{HeadLimits, ParsedHead},
        request::Method,
        response::parse_response,
    },
    toxic::{
        fields::{BodyError, Fields},
        queue::{Chunk, ChunkQueue, QueueEnd},
        step::{Stream, ToxicState, ToxicStep, delay},
    },
    transport::buffer::BUFFER_LEN_MAX,
};

/// The first bytes of an HTTP/1 response.
const HTTP_PREFIX: &[u8] = b"HTTP/1.";

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ResetPeer {
    /// In milliseconds.
    timeout: i64,
}

/// What the bytes of a stream so far are.
enum StreamStart {
    /// Too few to say.
    Unclear,
    /// An interim response of this many bytes.
    Interim(usize),
    /// What the toxic waits for.
    Awaited,
}

impl ResetPeer {
    pub(crate) fn merge(&mut self, fields: &Fields) -> Result<(), BodyError> {
        fields.integer_into("timeout", &mut self.timeout)
    }

    pub(crate) fn step(
        &self,
        state: &mut ToxicState,
        now: Instant,
        input: &mut ChunkQueue,
        output: &mut ChunkQueue,
    ) -> ToxicStep {
        while state.mark.is_none()
            && let Some(chunk) = input.pop()
        {
            state.held.push_back(chunk);
            while let StreamStart::Interim(len) = stream_start(state) {
                release(state, len, output);
            }
            if !state.held.is_empty() && matches!(stream_start(state), StreamStart::Awaited) {
                state.mark = Some(now);
            }
        }
        if input.ended() != QueueEnd::Open {
            state.mark.get_or_insert(now);
        }
        match state.mark {
            None => ToxicStep::Wait,
            Some(seen) if seen + delay(self.timeout) <= now => ToxicStep::Reset,
            Some(seen) => ToxicStep::Until(seen + delay(self.timeout)),
        }
    }
}

fn stream_start(state: &ToxicState) -> StreamStart {
    if state.stream == Stream::Upstream {
        return StreamStart::Awaited;
    }
    let seen: Vec<u8> = state.held.iter().flat_map(|chunk| chunk.bytes.iter().copied()).take(BUFFER_LEN_MAX).collect();
    let begins_alike = seen.iter().zip(HTTP_PREFIX).all(|(seen, wanted)| seen == wanted);
    if !begins_alike || seen.len() == BUFFER_LEN_MAX {
        return StreamStart::Awaited;
    }
    // The first digit of the status shows that a response is final, even before its head is whole.
    if seen.get(HTTP_PREFIX.len() + 2).is_some_and(|digit| *digit != b'1') {
        return StreamStart::Awaited;
    }
    match parse_response(&seen, Method::Other, HeadLimits::DEFAULT) {
        ParsedHead::Whole(head) if head.is_interim() => StreamStart::Interim(head.len),
        ParsedHead::Partial => StreamStart::Unclear,
        ParsedHead::Whole(_) | ParsedHead::Unreadable(_) => StreamStart::Awaited,
    }
}

/// Lets the first `len` of the held bytes pass.
fn release(state: &mut ToxicState, mut len: usize, output: &mut ChunkQueue) {
    while len > 0
        && let Some(mut chunk) = state.held.pop_front()
    {
        let bytes = chunk.bytes.split_to(len.min(chunk.bytes.len()));
        len -= bytes.len();
        output.push(Chunk { bytes, received: chunk.received });
        if !chunk.bytes.is_empty() {
            state.held.push_front(chunk);
        }
    }
}
