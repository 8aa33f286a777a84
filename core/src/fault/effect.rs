//! What a fault does to an attempt that meets it, and the questions that prediction, theory, judge and proxy ask about it.

use std::time::Duration;

use crate::{
    fault::{point::Point, reset::Reset, traces::Traces},
    witness::attempt::Uncertainty,
};

/// What a fault does to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The connection is reset.
    Reset(Reset),
}

impl Effect {
    /// The point at which it takes effect.
    #[must_use]
    pub const fn at(self) -> Point {
        match self {
            Self::Reset(reset) => reset.at,
        }
    }

    /// Whether the service receives the whole request.
    #[must_use]
    pub const fn request_arrives(self) -> bool {
        match self {
            Self::Reset(reset) => reset.at.is_after_arrival(),
        }
    }

    /// What the client cannot know, because it does not receive the whole response within its attempt's timeout; `None`: it does
    /// receive it, if the service answers.
    #[must_use]
    pub const fn hides_response(self, _attempt_timeout: Duration) -> Option<Uncertainty> {
        match self {
            Self::Reset(reset) => reset.hides_response(),
        }
    }

    /// Whether the client may make its next attempt while the service still works on this one.
    #[must_use]
    pub const fn overlaps_retry(self, _attempt_timeout: Duration) -> bool {
        match self {
            Self::Reset(reset) => reset.overlaps_retry(),
        }
    }

    /// Whether what the proxy reports proves that the effect took place.
    #[must_use]
    pub const fn is_proven_by(self, traces: Traces) -> bool {
        match self {
            Self::Reset(_) => Reset::is_proven_by(traces),
        }
    }
}
