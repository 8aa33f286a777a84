//! The service that an experiment pays: who runs it, and how it treats the requests that reach it.
//!
//! A new kind of target is one file beside [`ours`] and one variant of [`Target`].

pub mod handling;
pub mod ours;

use std::time::Duration;

use crate::{
    client::ClientPlan,
    targets::{handling::Treatment, ours::OurService},
};

/// The service that an experiment pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Paylab's own payment service, deployed for the run.
    Ours(OurService),
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
        }
    }

    /// Why the result depends on timing; `None`: it can be predicted exactly.
    #[must_use]
    pub fn depends_on_timing(&self, client: &ClientPlan, overlap: Overlap) -> Option<&'static str> {
        match self {
            Self::Ours(service) => service.depends_on_timing(client, overlap),
        }
    }

    /// How long a request takes at the least once it has arrived.
    #[must_use]
    pub const fn processing_time(&self) -> Duration {
        match self {
            Self::Ours(service) => service.processing_time,
        }
    }

    /// Whether one process counts all requests that reach the target, so that its count can be compared with the proxy's.
    #[must_use]
    pub const fn counts_all_requests(&self) -> bool {
        match self {
            Self::Ours(service) => service.replicas == 1,
        }
    }
}
