//! The toxics that one stream of one connection has, in order, with a pipe before each and one behind the last.

use std::{mem, sync::Arc};

use tokio::time::Instant;

use crate::{
    pipe::{End, Pipe},
    toxic::{Coins, Memory, Step, Stream, Toxic},
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

    /// Whether what passes is not changed any more.
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
            let mut coins = self.lot.coins(&toxic.name);
            if toxic.stream != self.stream || !toxic.is_drawn(&mut coins) {
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
        Coins { seed: self.seed, connection: self.connection, purpose, count: 0 }
    }
}
