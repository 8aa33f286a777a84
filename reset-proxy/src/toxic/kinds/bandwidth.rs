//! Limits the rate of a stream. Bytes pass in slices of a tenth of a second.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::toxic::{
    fields::{BodyError, Fields},
    queue::ChunkQueue,
    step::{ToxicState, ToxicStep},
};

/// The time for which one slice lasts.
const SLICE_MS: u64 = 100;

/// A sender that is silent for longer has paused, and what it then sends counts from its arrival. A shorter silence is that of the timers,
/// which are always late: if it counted, the stream would be slower than its rate.
const PAUSE_MIN: Duration = Duration::from_millis(10);

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Bandwidth {
    /// In units of 1000 bytes per second; at 0 nothing passes.
    rate: i64,
}

impl Bandwidth {
    pub(crate) fn merge(&mut self, fields: &Fields) -> Result<(), BodyError> {
        fields.integer_into("rate", &mut self.rate)
    }

    pub(crate) fn step(
        &self,
        state: &mut ToxicState,
        now: Instant,
        input: &mut ChunkQueue,
        output: &mut ChunkQueue,
    ) -> ToxicStep {
        // One unit is one byte per millisecond.
        let rate = self.rate.max(0).unsigned_abs();
        let most = usize::try_from(rate.saturating_mul(SLICE_MS)).unwrap_or(usize::MAX);
        while output.has_room()
            && let Some(front) = input.front()
        {
            if rate == 0 {
                return ToxicStep::Wait;
            }
            let slice = front.bytes.len().min(most);
            // A stream that was blocked must not catch up faster than the rate.
            let earliest = now.checked_sub(Duration::from_millis(SLICE_MS)).unwrap_or(now);
            let start = match state.mark {
                Some(mark) if front.received <= mark + PAUSE_MIN => mark,
                Some(_) | None => front.received,
            };
            let start = start.max(earliest);
            let due = start + Duration::from_nanos((slice as u64).saturating_mul(1_000_000) / rate);
            if due > now {
                state.mark = Some(start);
                return ToxicStep::Until(due);
            }
            state.mark = Some(due);
            if let Some(chunk) = input.pop_some(slice) {
                output.push(chunk);
            }
        }
        input.pass_end(output);
        ToxicStep::Wait
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::toxic::{
        queue::Chunk,
        sampler::RandomKey,
        step::{Stream, ToxicState},
    };

    /// The steps of a stream of chunks that last 64 ms each, in milliseconds since its beginning.
    struct Steps {
        began: Instant,
        state: ToxicState,
        input: ChunkQueue,
        output: ChunkQueue,
    }

    impl Steps {
        fn new() -> Self {
            let began = Instant::now();
            let key = RandomKey { seed: 7, proxy: "p".into(), connection: 1 };
            let state = ToxicState::new(Stream::Upstream, began, key.sampler("bandwidth"));
            Self { began, state, input: ChunkQueue::default(), output: ChunkQueue::default() }
        }

        fn arrive(&mut self, at_ms: u64) {
            let received = self.began + Duration::from_millis(at_ms);
            self.input.push(Chunk { bytes: Bytes::from_static(&[0; 64]), received });
        }

        /// When the next step is due. `None` when all has passed.
        fn step(&mut self, at_ms: u64) -> Option<Duration> {
            let now = self.began + Duration::from_millis(at_ms);
            match (Bandwidth { rate: 1 }).step(&mut self.state, now, &mut self.input, &mut self.output) {
                ToxicStep::Until(due) => Some(due.duration_since(self.began)),
                ToxicStep::Wait => None,
                ToxicStep::Reset => panic!("a bandwidth resets nothing"),
            }
        }
    }

    const fn ms(ms: u64) -> Option<Duration> {
        Some(Duration::from_millis(ms))
    }

    #[test]
    fn late_timers_do_not_slow_a_stream_down() {
        let mut steps = Steps::new();
        steps.arrive(0);
        assert_eq!(steps.step(0), ms(64));
        for round in 1..20 {
            // Both the timer and the next chunk are late.
            assert_eq!(steps.step(64 * round + 3), None);
            steps.arrive(64 * round + 8);
            assert_eq!(steps.step(64 * round + 8), ms(64 * (round + 1)));
        }
    }

    #[test]
    fn what_comes_after_a_pause_counts_from_its_arrival() {
        let mut steps = Steps::new();
        steps.arrive(0);
        assert_eq!(steps.step(64), None);
        steps.arrive(75);
        assert_eq!(steps.step(75), ms(75 + 64));
    }
}
