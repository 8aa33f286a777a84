//! The toxics that one stream of one connection has, in order, with a pipe before each and one behind the last.

use std::{mem, sync::Arc};

use tokio::time::Instant;

use crate::{
    toxic::definition::{Coins, Memory, Step, Stream, Toxic},
    toxic::queue::{End, Pipe},
};

/// A toxic at work on this stream.
#[derive(Debug)]
struct Station {
    toxic: Arc<Toxic>,
    memory: Memory,
    input: Pipe,
}

/// Which connection the chain belongs to: whatever is left to chance follows from it.
#[derive(Debug, Clone)]
pub(crate) struct Lot {
    pub(crate) seed: u64,
    pub(crate) proxy: Arc<str>,
    pub(crate) connection: u64,
}

/// One stream's toxics.
#[derive(Debug)]
pub(crate) struct Chain {
    stream: Stream,
    lot: Lot,
    stations: Vec<Station>,
    /// What has passed all of them.
    pub(crate) output: Pipe,
}

impl Chain {
    pub(crate) fn new(stream: Stream, lot: Lot) -> Self {
        Self { stream, lot, stations: Vec::new(), output: Pipe::default() }
    }

    /// Whether there is nothing to be done but to pass bytes on.
    pub(crate) fn is_plain(&self) -> bool {
        self.stations.is_empty() && self.output.is_empty() && self.output.ended() != End::Closed
    }

    /// Whether a toxic is at work.
    pub(crate) fn has_toxics(&self) -> bool {
        !self.stations.is_empty()
    }

    /// Where what arrives is put.
    pub(crate) fn input(&mut self) -> &mut Pipe {
        self.stations.first_mut().map_or(&mut self.output, |station| &mut station.input)
    }

    /// Takes over the toxics as they are now. Those that stay go on where they were.
    pub(crate) fn reconcile(&mut self, toxics: &[Arc<Toxic>], now: Instant) {
        let mut index = 0;
        for toxic in toxics {
            if toxic.stream != self.stream || toxic.toxicity == 0.0 {
                continue;
            }
            let coins = self.lot.coins(&toxic.name);
            if !toxic.is_drawn(&coins) {
                continue;
            }
            while self.stations[index..].iter().any(|station| station.toxic.id == toxic.id)
                && self.stations[index].toxic.id != toxic.id
            {
                self.remove(index);
            }
            match self.stations.get_mut(index) {
                Some(station) if station.toxic.id == toxic.id => station.change(toxic, now),
                Some(_) | None => self.insert(index, toxic, coins, now),
            }
            index += 1;
        }
        while self.stations.len() > index {
            self.remove(index);
        }
    }

    /// What waits before `index` waits for the new toxic from now on.
    fn insert(&mut self, index: usize, toxic: &Arc<Toxic>, coins: Coins, now: Instant) {
        let following_needs_room =
            self.stations.get(index).is_some_and(|station| station.toxic.attributes.needs_room());
        let following = self.stations.get_mut(index).map_or(&mut self.output, |station| &mut station.input);
        let mut input = mem::take(following);
        following.widen(following_needs_room);
        input.widen(toxic.attributes.needs_room());
        let memory = Memory::new(self.stream, now, coins);
        self.stations.insert(index, Station { toxic: Arc::clone(toxic), memory, input });
    }

    /// What the toxic keeps back passes now, before what waits for it.
    fn remove(&mut self, index: usize) {
        let Station { toxic, memory, input } = self.stations.remove(index);
        let following = self.stations.get_mut(index).map_or(&mut self.output, |station| &mut station.input);
        for chunk in memory.held {
            following.push(chunk);
        }
        following.append(input);
        if toxic.attributes.closes_when_removed() {
            following.end(End::Closed);
        }
    }

    /// Moves everything as far as it gets. Answers when something can move again by itself.
    pub(crate) fn advance(&mut self, now: Instant) -> Step {
        loop {
            let before = self.turns();
            let mut wake: Option<Instant> = None;
            for index in 0..self.stations.len() {
                let (head, tail) = self.stations.split_at_mut(index + 1);
                let output = tail.first_mut().map_or(&mut self.output, |station| &mut station.input);
                let Some(Station { toxic, memory, input }) = head.last_mut() else { break };
                match toxic.attributes.step(memory, now, input, output) {
                    Step::Wait => {}
                    Step::Until(due) => wake = Some(wake.map_or(due, |wake| wake.min(due))),
                    Step::Reset => return Step::Reset,
                }
            }
            if self.turns() == before {
                return wake.map_or(Step::Wait, Step::Until);
            }
        }
    }

    /// Rises with everything that moves.
    pub(crate) fn turns(&self) -> u64 {
        self.stations.iter().map(|station| station.input.turns()).sum::<u64>() + self.output.turns()
    }
}

impl Station {
    fn change(&mut self, toxic: &Arc<Toxic>, now: Instant) {
        if self.toxic.attributes != toxic.attributes {
            self.memory.began = now;
        }
        self.toxic = Arc::clone(toxic);
    }
}

impl Lot {
    fn coins(&self, toxic: &str) -> Coins {
        let purpose = format!("{}/{toxic}", self.proxy);
        Coins { seed: self.seed, connection: self.connection, purpose, tossed: 0 }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{toxic::fields::object, toxic::queue::Chunk};

    /// What may happen to a stream.
    #[derive(Debug, Clone)]
    enum Event {
        Arrives(u16),
        Passes(u16),
        Adds(usize),
        Removes(usize),
        /// The socket takes what has come through.
        Leaves,
    }

    /// A stream whose toxics lose nothing.
    struct Lossless {
        chain: Chain,
        toxics: Vec<Arc<Toxic>>,
        made: u64,
        now: Instant,
        arrived: Vec<u8>,
        left: Vec<u8>,
    }

    impl Lossless {
        fn new() -> Self {
            let lot = Lot { seed: 7, proxy: "p".into(), connection: 3 };
            let chain = Chain::new(Stream::Upstream, lot);
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

        fn happen(&mut self, event: &Event) {
            match *event {
                Event::Arrives(len) if self.chain.input().has_room() => {
                    let bytes: Vec<u8> = (0..len).map(|index| (index % 251).to_le_bytes()[0]).collect();
                    self.arrived.extend(&bytes);
                    self.chain.input().push(Chunk { bytes: Bytes::from(bytes), received: self.now });
                }
                Event::Arrives(_) => {}
                Event::Passes(ms) => self.now += Duration::from_millis(ms.into()),
                Event::Adds(kind) => self.add(kind),
                Event::Removes(index) if !self.toxics.is_empty() => {
                    self.toxics.remove(index % self.toxics.len());
                }
                Event::Removes(_) => {}
                Event::Leaves => {
                    while let Some(chunk) = self.chain.output.pop() {
                        self.left.extend(chunk.bytes);
                    }
                }
            }
            self.chain.reconcile(&self.toxics, self.now);
            assert_ne!(self.chain.advance(self.now), Step::Reset);
        }
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let event = prop_oneof![
            (1..2_000_u16).prop_map(Event::Arrives),
            (0..100_u16).prop_map(Event::Passes),
            any::<usize>().prop_map(Event::Adds),
            any::<usize>().prop_map(Event::Removes),
            Just(Event::Leaves),
        ];
        prop::collection::vec(event, 0..60)
    }

    proptest! {
        #[test]
        fn toxics_that_lose_nothing_lose_nothing_however_they_come_and_go(events in events()) {
            let mut stream = Lossless::new();
            for event in &events {
                stream.happen(event);
            }
            stream.chain.input().end(End::Finished);
            stream.toxics.clear();
            stream.happen(&Event::Leaves);
            stream.happen(&Event::Leaves);
            prop_assert_eq!(stream.left, stream.arrived);
            prop_assert_eq!(stream.chain.output.ended(), End::Finished);
        }

        #[test]
        fn a_stream_comes_to_an_end_by_itself_when_its_toxics_stay(kinds in prop::collection::vec(prop::sample::select(vec![0_usize, 1, 2, 3, 4, 6]), 0..6)) {
            let mut stream = Lossless::new();
            kinds.into_iter().for_each(|kind| stream.add(kind));
            stream.happen(&Event::Arrives(1_000));
            stream.chain.input().end(End::Finished);
            for _ in 0..10_000 {
                stream.happen(&Event::Leaves);
                match stream.chain.advance(stream.now) {
                    Step::Until(due) => stream.now = due,
                    Step::Wait | Step::Reset => break,
                }
            }
            stream.happen(&Event::Leaves);
            prop_assert_eq!(stream.left, stream.arrived);
            prop_assert_eq!(stream.chain.output.ended(), End::Finished);
        }
    }

    #[test]
    fn chance_is_a_function_of_seed_proxy_connection_and_toxic() {
        let lot = |seed, proxy: &str, connection| Lot { seed, proxy: proxy.into(), connection };
        let tosses = |lot: Lot, toxic| {
            let mut coins = lot.coins(toxic);
            [coins.toss(), coins.toss()].map(f64::to_bits)
        };
        let one = tosses(lot(1, "p", 1), "t");
        assert_eq!(one, tosses(lot(1, "p", 1), "t"));
        let others = [(lot(2, "p", 1), "t"), (lot(1, "q", 1), "t"), (lot(1, "p", 2), "t"), (lot(1, "p", 1), "u")];
        for (lot, toxic) in others {
            assert_ne!(one, tosses(lot, toxic));
        }
        assert_ne!(one[0], one[1]);
    }
}
