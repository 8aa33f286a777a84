//! What a named proxy counts.

use crate::{counter::Counter, toxic::step::Stream};

/// The counters of one named proxy since it was created.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) connections: Counter,
    pub(crate) connections_ended: Counter,
    pub(crate) upstream_unreachable: Counter,
    pub(crate) up: ByteCounts,
    pub(crate) down: ByteCounts,
    resets: [Counter; ResetCause::ALL.len()],
}

/// The bytes of one direction.
#[derive(Debug, Default)]
pub(crate) struct ByteCounts {
    /// Bytes that were copied while no toxic was active, where all received bytes are sent.
    pub(crate) copied: Counter,
    /// Bytes that were received for the toxics.
    pub(crate) received: Counter,
    /// Bytes that were sent after the toxics.
    pub(crate) sent: Counter,
}

/// Why a connection was reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResetCause {
    /// A `reset_peer` toxic on this stream.
    Toxic(Stream),
    /// The sender of this stream failed, or the receiver of the other one did, and the reset is passed on.
    PassedOn(Stream),
}

impl ResetCause {
    /// All causes with their names in the metrics.
    const ALL: [(Self, &'static str); 4] = [
        (Self::Toxic(Stream::Upstream), "reset_peer_upstream"),
        (Self::Toxic(Stream::Downstream), "reset_peer_downstream"),
        (Self::PassedOn(Stream::Upstream), "client_gone"),
        (Self::PassedOn(Stream::Downstream), "service_gone"),
    ];
}

impl Traffic {
    pub(crate) fn count_reset(&self, cause: ResetCause) {
        for ((known, _), counter) in ResetCause::ALL.iter().zip(&self.resets) {
            if *known == cause {
                counter.increment();
            }
        }
    }

    /// The number of resets of each cause, with its name in the metrics.
    pub(crate) fn resets(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ResetCause::ALL.iter().zip(&self.resets).map(|((_, name), counter)| (*name, counter.value()))
    }

    /// The number of connections open now.
    pub(crate) fn connections_open(&self) -> u64 {
        self.connections.value().saturating_sub(self.connections_ended.value())
    }
}

impl ByteCounts {
    /// All bytes that were received.
    pub(crate) fn total_received(&self) -> u64 {
        self.copied.value() + self.received.value()
    }

    /// All bytes that were sent.
    pub(crate) fn total_sent(&self) -> u64 {
        self.copied.value() + self.sent.value()
    }
}
