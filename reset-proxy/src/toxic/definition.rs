//! A toxic: what it is called, where it sits, how often it is drawn, and what it does. What it does to a stream is pure:
//! the time is told, and chance is a function of seed, proxy, connection and toxic.

use std::collections::VecDeque;

use paylab_experiment::{
    fate::fraction,
    payment::{AttemptId, PaymentId},
};
use serde::{Serialize, Serializer};
use tokio::time::Instant;

use crate::{
    toxic::fields::{BadBody, Fields},
    toxic::kinds::{
        bandwidth::Bandwidth, latency::Latency, limit_data::LimitData, packet_loss::PacketLoss, reset_peer::ResetPeer,
        slicer::Slicer, slow_close::SlowClose, timeout::Timeout,
    },
    toxic::queue::{Chunk, Pipe},
};

/// No delay is longer than this, whatever is asked for.
const DELAY_MAX_MS: i64 = 365 * 24 * 3_600 * 1_000;

/// Which way a stream goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stream {
    /// From the client to the service.
    Upstream,
    /// From the service to the client.
    Downstream,
}

/// A toxic of a proxy, as the API shows it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Toxic {
    pub(crate) attributes: Kind,
    pub(crate) name: String,
    pub(crate) r#type: String,
    pub(crate) stream: Stream,
    /// Which share of the connections has it, 0 to 1.
    #[serde(serialize_with = "shortest")]
    pub(crate) toxicity: f64,
    /// Two toxics of one name, one after the other, are not the same.
    #[serde(skip)]
    pub(crate) id: u64,
}

/// What a toxic does, and how much of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Kind {
    Noop {},
    Latency(Latency),
    Bandwidth(Bandwidth),
    SlowClose(SlowClose),
    Timeout(Timeout),
    ResetPeer(ResetPeer),
    Slicer(Slicer),
    LimitData(LimitData),
    PacketLoss(PacketLoss),
}

/// What a toxic remembers of one stream of one connection.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) stream: Stream,
    /// When it began there, or was last changed.
    pub(crate) began: Instant,
    /// Until when it waits, or since when; each toxic has its own use.
    pub(crate) mark: Option<Instant>,
    /// The chance of what waits at the front, drawn once.
    pub(crate) drawn: Option<f64>,
    /// How many bytes it let through.
    pub(crate) passed: u64,
    /// What it keeps back, for when it is removed.
    pub(crate) held: VecDeque<Chunk>,
    pub(crate) coins: Coins,
}

/// What a step leaves to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing until a pipe changes.
    Wait,
    /// Another step at this time.
    Until(Instant),
    /// Both sockets are to be reset now.
    Reset,
}

/// The chances of one toxic on one connection, one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Coins {
    pub(crate) seed: u64,
    /// Which connection of its proxy, from 0.
    pub(crate) connection: u64,
    /// Proxy and toxic.
    pub(crate) purpose: String,
    pub(crate) tossed: u32,
}

impl Toxic {
    /// Reads a new toxic from the body of a request.
    pub(crate) fn read(fields: &Fields) -> Result<Self, BadBody> {
        let stream = match fields.text("stream")?.as_deref() {
            None | Some("downstream") => Stream::Downstream,
            Some("upstream") => Stream::Upstream,
            Some(_) => return Err(BadBody::Stream),
        };
        let r#type = fields.text("type")?.unwrap_or_default();
        let attributes = Kind::of(&r#type).ok_or(BadBody::ToxicType)?;
        let name = fields.text("name")?.filter(|name| !name.is_empty()).unwrap_or_else(|| {
            let stream = match stream {
                Stream::Upstream => "upstream",
                Stream::Downstream => "downstream",
            };
            format!("{type}_{stream}")
        });
        Self { attributes, name, r#type, stream, toxicity: 1.0, id: 0 }.merged(fields)
    }

    /// The same with another toxicity and other attributes, as far as they are told.
    pub(crate) fn merged(mut self, fields: &Fields) -> Result<Self, BadBody> {
        if let Some(toxicity) = fields.number("toxicity")? {
            if !(0.0..=1.0).contains(&toxicity) {
                return Err(BadBody::Toxicity(toxicity));
            }
            self.toxicity = toxicity;
        }
        if let Some(attributes) = fields.object("attributes")? {
            self.attributes.merge(&attributes)?;
        }
        Ok(self)
    }

    /// Whether a connection has this toxic. It never changes while toxicity and name stay.
    pub(crate) fn is_drawn(&self, coins: &Coins) -> bool {
        coins.chance(0) < self.toxicity
    }
}

impl Kind {
    fn of(r#type: &str) -> Option<Self> {
        Some(match r#type {
            "noop" => Self::Noop {},
            "latency" => Self::Latency(Latency::default()),
            "bandwidth" => Self::Bandwidth(Bandwidth::default()),
            "slow_close" => Self::SlowClose(SlowClose::default()),
            "timeout" => Self::Timeout(Timeout::default()),
            "reset_peer" => Self::ResetPeer(ResetPeer::default()),
            "slicer" => Self::Slicer(Slicer::default()),
            "limit_data" => Self::LimitData(LimitData::default()),
            "packet_loss" => Self::PacketLoss(PacketLoss::default()),
            _ => return None,
        })
    }

    fn merge(&mut self, fields: &Fields) -> Result<(), BadBody> {
        match self {
            Self::Noop {} => Ok(()),
            Self::Latency(latency) => latency.merge(fields),
            Self::Bandwidth(bandwidth) => bandwidth.merge(fields),
            Self::SlowClose(slow_close) => slow_close.merge(fields),
            Self::Timeout(timeout) => timeout.merge(fields),
            Self::ResetPeer(reset_peer) => reset_peer.merge(fields),
            Self::Slicer(slicer) => slicer.merge(fields),
            Self::LimitData(limit_data) => limit_data.merge(fields),
            Self::PacketLoss(packet_loss) => packet_loss.merge(fields),
        }
    }

    /// Moves from the one pipe to the other what may pass now.
    pub(crate) fn step(&self, memory: &mut Memory, now: Instant, input: &mut Pipe, output: &mut Pipe) -> Step {
        match self {
            Self::Noop {} => {
                pass(input, output);
                input.pass_end(output);
                Step::Wait
            }
            Self::Latency(latency) => latency.step(memory, now, input, output),
            Self::Bandwidth(bandwidth) => bandwidth.step(memory, now, input, output),
            Self::SlowClose(slow_close) => slow_close.step(memory, now, input, output),
            Self::Timeout(timeout) => timeout.step(memory, now, input, output),
            Self::ResetPeer(reset_peer) => reset_peer.step(memory, now, input, output),
            Self::Slicer(slicer) => slicer.step(memory, now, input, output),
            Self::LimitData(limit_data) => limit_data.step(memory, input, output),
            Self::PacketLoss(packet_loss) => packet_loss.step(memory, input, output),
        }
    }

    /// Whether more than usual may wait before it.
    pub(crate) const fn needs_room(&self) -> bool {
        matches!(self, Self::Latency(_))
    }

    /// Whether its removal closes the connections it was on: the data it dropped are missing.
    pub(crate) const fn closes_when_removed(&self) -> bool {
        matches!(self, Self::Timeout(_))
    }
}

impl Memory {
    pub(crate) const fn new(stream: Stream, began: Instant, coins: Coins) -> Self {
        Self { stream, began, mark: None, drawn: None, passed: 0, held: VecDeque::new(), coins }
    }
}

impl Coins {
    /// The next number in `[0, 1)`.
    pub(crate) fn toss(&mut self) -> f64 {
        self.tossed = self.tossed.wrapping_add(1);
        self.chance(self.tossed)
    }

    /// Number 0 decides whether the connection has the toxic.
    fn chance(&self, number: u32) -> f64 {
        let id = AttemptId { payment: PaymentId(self.connection), attempt: number };
        fraction(self.seed, id, &self.purpose)
    }
}

/// Passes on all that fits.
pub(crate) fn pass(input: &mut Pipe, output: &mut Pipe) {
    while output.has_room()
        && let Some(chunk) = input.pop()
    {
        output.push(chunk);
    }
}

/// A delay in milliseconds; a negative one is none.
pub(crate) fn delay(ms: i64) -> std::time::Duration {
    std::time::Duration::from_millis(ms.clamp(0, DELAY_MAX_MS).unsigned_abs())
}

/// Writes 1 as `1`, as Toxiproxy does.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn shortest<S: Serializer>(toxicity: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    #[expect(clippy::cast_possible_truncation, reason = "it is 0 or 1")]
    if toxicity.fract() == 0.0 {
        serializer.serialize_i64(*toxicity as i64)
    } else {
        serializer.serialize_f64(*toxicity)
    }
}
