//! The toxics of one stream of one connection in their order, with a queue before each and one after the last.

use std::{mem, sync::Arc};

use tokio::time::Instant;

use crate::toxic::{
    definition::Toxic,
    queue::{ChunkQueue, QueueEnd},
    sampler::{RandomKey, ToxicSampler},
    step::{Stream, ToxicState, ToxicStep},
};

/// A toxic that is active on this stream.
#[derive(Debug)]
struct ActiveToxic {
    toxic: Arc<Toxic>,
    state: ToxicState,
    input: ChunkQueue,
}

/// The toxics of one stream.
#[derive(Debug)]
pub(crate) struct ToxicChain {
    stream: Stream,
    key: RandomKey,
    toxics: Vec<ActiveToxic>,
    /// The bytes that have passed all toxics.
    pub(crate) output: ChunkQueue,
}

impl ToxicChain {
    pub(crate) fn new(stream: Stream, key: RandomKey) -> Self {
        Self { stream, key, toxics: Vec::new(), output: ChunkQueue::default() }
    }

    /// Whether bytes may bypass the chain: it has no toxic and holds nothing.
    pub(crate) fn is_transparent(&self) -> bool {
        self.toxics.is_empty() && self.output.is_empty() && self.output.ended() != QueueEnd::Closed
    }

    /// Whether a toxic is active.
    pub(crate) fn has_toxics(&self) -> bool {
        !self.toxics.is_empty()
    }

    /// The queue into which arriving bytes go.
    pub(crate) fn input(&mut self) -> &mut ChunkQueue {
        self.toxics.first_mut().map_or(&mut self.output, |next| &mut next.input)
    }

    /// Takes over the present toxics of the proxy. Toxics that stay keep their state.
    pub(crate) fn reconcile(&mut self, toxics: &[Arc<Toxic>], now: Instant) {
        let mut index = 0;
        for toxic in toxics {
            if toxic.stream != self.stream || toxic.toxicity == 0.0 {
                continue;
            }
            let sampler = self.key.sampler(&toxic.name);
            if !sampler.has_toxic(toxic.toxicity) {
                continue;
            }
            while self.toxics[index..].iter().any(|active| active.toxic.id == toxic.id)
                && self.toxics[index].toxic.id != toxic.id
            {
                self.remove(index);
            }
            match self.toxics.get_mut(index) {
                Some(active) if active.toxic.id == toxic.id => active.change(toxic, now),
                Some(_) | None => self.insert(index, toxic, sampler, now),
            }
            index += 1;
        }
        while self.toxics.len() > index {
            self.remove(index);
        }
    }

    /// Inserts a toxic. The chunks that wait before `index` wait for the new toxic from now on.
    fn insert(&mut self, index: usize, toxic: &Arc<Toxic>, sampler: ToxicSampler, now: Instant) {
        let following_needs_room = self.toxics.get(index).is_some_and(|next| next.toxic.attributes.needs_room());
        let following = self.toxics.get_mut(index).map_or(&mut self.output, |next| &mut next.input);
        let mut input = mem::take(following);
        following.widen(following_needs_room);
        input.widen(toxic.attributes.needs_room());
        let state = ToxicState::new(self.stream, now, sampler);
        self.toxics.insert(index, ActiveToxic { toxic: Arc::clone(toxic), state, input });
    }

    /// Removes a toxic. The chunks that it keeps back pass now, before those that wait for it.
    fn remove(&mut self, index: usize) {
        let ActiveToxic { toxic, state, input } = self.toxics.remove(index);
        let following = self.toxics.get_mut(index).map_or(&mut self.output, |next| &mut next.input);
        for chunk in state.held {
            following.push(chunk);
        }
        following.append(input);
        if toxic.attributes.closes_when_removed() {
            following.end(QueueEnd::Closed);
        }
    }

    /// Moves all bytes as far as the toxics let them pass now. Returns when the next step is due.
    pub(crate) fn advance(&mut self, now: Instant) -> ToxicStep {
        loop {
            let before = self.changes();
            let mut wake: Option<Instant> = None;
            for index in 0..self.toxics.len() {
                let (head, tail) = self.toxics.split_at_mut(index + 1);
                let output = tail.first_mut().map_or(&mut self.output, |next| &mut next.input);
                let Some(ActiveToxic { toxic, state, input }) = head.last_mut() else { break };
                match toxic.attributes.step(state, now, input, output) {
                    ToxicStep::Wait => {}
                    ToxicStep::Until(due) => wake = Some(wake.map_or(due, |wake| wake.min(due))),
                    ToxicStep::Reset => return ToxicStep::Reset,
                }
            }
            if self.changes() == before {
                return wake.map_or(ToxicStep::Wait, ToxicStep::Until);
            }
        }
    }

    /// A number that rises with every chunk that moves.
    pub(crate) fn changes(&self) -> u64 {
        self.toxics.iter().map(|active| active.input.changes()).sum::<u64>() + self.output.changes()
    }
}

impl ActiveToxic {
    fn change(&mut self, toxic: &Arc<Toxic>, now: Instant) {
        if self.toxic.attributes != toxic.attributes {
            self.state.began = now;
        }
        self.toxic = Arc::clone(toxic);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::toxic::{fields::object, queue::Chunk};

    /// What may happen to a stream.
    #[derive(Debug, Clone)]
    enum StreamEvent {
        Arrives(u16),
        Passes(u16),
        Adds(usize),
        Removes(usize),
        /// The socket takes the bytes that have passed the chain.
        Leaves,
    }

    /// A stream with toxics that lose no bytes.
    struct Lossless {
        chain: ToxicChain,
        toxics: Vec<Arc<Toxic>>,
        made: u64,
        now: Instant,
        arrived: Vec<u8>,
        left: Vec<u8>,
    }

    impl Lossless {
        fn new() -> Self {
            let key = RandomKey { seed: 7, proxy: "p".into(), connection: 3 };
            let chain = ToxicChain::new(Stream::Upstream, key);
            Self { chain, toxics: vec![], made: 0, now: Instant::now(), arrived: vec![], left: vec![] }
        }

        fn add(&mut self, kind: usize) {
            let kinds = [
                ("noop", json!({})),
                ("latency", json!({"latency": 40, "jitter": 30})),
                ("slicer", json!({"average_size": 3, "size_variation": 2, "delay": 500})),
                ("slicer", json!({})),
                ("bandwidth", json!({"rate": 2})),
                ("bandwidth", json!({})),
                ("slow_close", json!({"delay": 50})),
                ("reset_peer", json!({"timeout": 3_600_000})),
                ("packet_loss", json!({"loss_rate": 0})),
            ];
            let (kind, attributes) = &kinds[kind % kinds.len()];
            self.made += 1;
            let name = format!("{kind} {}", self.made);
            let body =
                json!({"name": name, "type": kind, "stream": "upstream", "attributes": attributes, "toxicity": 0.7});
            let mut toxic = Toxic::read(&object(body.to_string().as_bytes()).unwrap()).unwrap();
            toxic.id = self.made;
            self.toxics.push(toxic.into());
        }

        fn happen(&mut self, event: &StreamEvent) {
            match *event {
                StreamEvent::Arrives(len) if self.chain.input().has_room() => {
                    let bytes: Vec<u8> = (0..len).map(|index| (index % 251).to_le_bytes()[0]).collect();
                    self.arrived.extend(&bytes);
                    self.chain.input().push(Chunk { bytes: Bytes::from(bytes), received: self.now });
                }
                StreamEvent::Arrives(_) => {}
                StreamEvent::Passes(ms) => self.now += Duration::from_millis(ms.into()),
                StreamEvent::Adds(kind) => self.add(kind),
                StreamEvent::Removes(index) if !self.toxics.is_empty() => {
                    self.toxics.remove(index % self.toxics.len());
                }
                StreamEvent::Removes(_) => {}
                StreamEvent::Leaves => {
                    while let Some(chunk) = self.chain.output.pop() {
                        self.left.extend(chunk.bytes);
                    }
                }
            }
            self.chain.reconcile(&self.toxics, self.now);
            assert_ne!(self.chain.advance(self.now), ToxicStep::Reset);
        }
    }

    fn events() -> impl Strategy<Value = Vec<StreamEvent>> {
        let event = prop_oneof![
            (1..2_000_u16).prop_map(StreamEvent::Arrives),
            (0..100_u16).prop_map(StreamEvent::Passes),
            any::<usize>().prop_map(StreamEvent::Adds),
            any::<usize>().prop_map(StreamEvent::Removes),
            Just(StreamEvent::Leaves),
        ];
        prop::collection::vec(event, 0..60)
    }

    proptest! {
        #[test]
        fn toxics_that_keep_all_bytes_lose_none_however_they_are_added_and_removed(events in events()) {
            let mut stream = Lossless::new();
            for event in &events {
                stream.happen(event);
            }
            stream.chain.input().end(QueueEnd::Finished);
            stream.toxics.clear();
            stream.happen(&StreamEvent::Leaves);
            stream.happen(&StreamEvent::Leaves);
            prop_assert_eq!(stream.left, stream.arrived);
            prop_assert_eq!(stream.chain.output.ended(), QueueEnd::Finished);
        }

        #[test]
        fn a_stream_ends_by_itself_while_its_toxics_stay(kinds in prop::collection::vec(prop::sample::select(vec![0_usize, 1, 2, 3, 4, 6]), 0..6)) {
            let mut stream = Lossless::new();
            kinds.into_iter().for_each(|kind| stream.add(kind));
            stream.happen(&StreamEvent::Arrives(1_000));
            stream.chain.input().end(QueueEnd::Finished);
            for _ in 0..10_000 {
                stream.happen(&StreamEvent::Leaves);
                match stream.chain.advance(stream.now) {
                    ToxicStep::Until(due) => stream.now = due,
                    ToxicStep::Wait | ToxicStep::Reset => break,
                }
            }
            stream.happen(&StreamEvent::Leaves);
            prop_assert_eq!(stream.left, stream.arrived);
            prop_assert_eq!(stream.chain.output.ended(), QueueEnd::Finished);
        }
    }
}
