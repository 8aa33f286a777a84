//! The service that an experiment pays: who runs it, and how it treats the requests that reach it.
//!
//! A new kind of target is one file beside [`ours`] and one variant of [`Target`].

pub mod durability;
pub mod expiry;
pub mod handling;
pub mod ours;
pub mod theirs;

use std::time::Duration;

use crate::{
    client::ClientPlan,
    probability::Probability,
    targets::{
        durability::Durability,
        handling::Treatment,
        ours::OurService,
        theirs::{LedgerDetail, TheirService},
    },
};

/// The service that an experiment pays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Paylab's own payment service, deployed for the run.
    Ours(OurService),
    /// A service of the user's, which runs already.
    Theirs(TheirService),
}

/// Whether two requests of one payment can be at the service at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// The client waits for the end of each attempt, and nothing of an attempt outlives it.
    Never,
    /// Copies are sent at once, or an attempt reaches the service after the client has gone on.
    Possible,
}

impl Target {
    /// What the target does with requests, if it works as it is meant to.
    #[must_use]
    pub const fn treatment(&self, client: &ClientPlan) -> Treatment {
        match self {
            Self::Ours(service) => service.treatment(client.key),
            Self::Theirs(service) => service.treatment(client),
        }
    }

    /// Why the result depends on timing; `None`: it can be predicted exactly.
    #[must_use]
    pub fn depends_on_timing(&self, client: &ClientPlan, overlap: Overlap) -> Option<&'static str> {
        match self {
            Self::Ours(service) => service.depends_on_timing(client, overlap),
            Self::Theirs(service) => service.depends_on_timing(client, overlap),
        }
    }

    /// What it keeps of a payment when its process dies. A service without a model is believed to be correct.
    #[must_use]
    pub const fn durability(&self, client: &ClientPlan) -> Durability {
        match self {
            Self::Ours(service) => Durability::of(service.dedup, client.key),
            Self::Theirs(TheirService { model: Some(dedup), .. }) => Durability::of(*dedup, client.key),
            Self::Theirs(TheirService { model: None, .. }) => Durability::Atomic,
        }
    }

    /// How often it answers 500 to a request that it has booked.
    #[must_use]
    pub const fn fail_after(&self) -> Probability {
        match self {
            Self::Ours(service) => service.fail_after,
            Self::Theirs(_) => Probability::NEVER,
        }
    }

    /// How long a request takes at the least once it has arrived.
    #[must_use]
    pub const fn processing_time(&self) -> Duration {
        match self {
            Self::Ours(service) => service.processing_time,
            Self::Theirs(_) => Duration::ZERO,
        }
    }

    /// Whether the ledger shows a total and no entry.
    #[must_use]
    pub fn shows_total_only(&self) -> bool {
        matches!(self, Self::Theirs(service) if service.ledger == LedgerDetail::Total)
    }

    /// Whether one process counts all requests that reach the target, so that its count can be compared with the proxy's.
    #[must_use]
    pub const fn counts_all_requests(&self) -> bool {
        match self {
            Self::Ours(service) => service.replicas == 1,
            Self::Theirs(_) => false,
        }
    }
}
