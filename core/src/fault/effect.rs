//! What a fault does to an attempt that meets it, and the questions that prediction, theory, judge and proxy ask about it.

use std::{fmt, time::Duration};

use crate::{
    fault::{delay::Delay, kill::Kill, point::Point, reset::Reset, traces::Traces},
    witness::attempt::Uncertainty,
};

/// What a fault does to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The connection is reset.
    Reset(Reset),
    /// The request or the response is held for some time.
    Delay(Delay),
    /// The process of the service is killed, and started again.
    Kill(Kill),
}

impl Effect {
    /// The point at which it takes effect.
    #[must_use]
    pub const fn at(self) -> Point {
        match self {
            Self::Reset(reset) => reset.at,
            Self::Delay(delay) => delay.at,
            Self::Kill(kill) => kill.at,
        }
    }

    /// Whether the service receives the whole request.
    #[must_use]
    pub const fn request_arrives(self) -> bool {
        match self {
            Self::Reset(reset) => reset.at.is_after_arrival(),
            Self::Delay(_) => true,
            Self::Kill(kill) => kill.at.is_after_arrival(),
        }
    }

    /// What the client cannot know, because it does not receive the whole response within its attempt's timeout; `None`: it does
    /// receive it, if the service answers.
    #[must_use]
    pub fn hides_response(self, attempt_timeout: Duration) -> Option<Uncertainty> {
        match self {
            Self::Reset(reset) => reset.hides_response(),
            Self::Delay(delay) => delay.hides_response(attempt_timeout),
            Self::Kill(kill) => kill.hides_response(),
        }
    }

    /// Whether the client may make its next attempt while the service still works on this one.
    #[must_use]
    pub fn overlaps_retry(self, attempt_timeout: Duration) -> bool {
        match self {
            Self::Reset(reset) => reset.overlaps_retry(),
            Self::Delay(delay) => delay.overlaps_retry(attempt_timeout),
            // The client is reset when the process is dead.
            Self::Kill(_) => false,
        }
    }

    /// Why it depends on timing what the client sees; `None`: it is certain.
    #[must_use]
    pub fn depends_on_timing(self, attempt_timeout: Duration, processing_time: Duration) -> Option<&'static str> {
        match self {
            Self::Reset(_) => None,
            Self::Delay(delay) => delay.depends_on_timing(attempt_timeout, processing_time),
            Self::Kill(kill) => kill.depends_on_timing(attempt_timeout),
        }
    }

    /// How long the proxy holds the request or the response before it passes it on.
    #[must_use]
    pub fn holds_for(self) -> Duration {
        match self {
            Self::Reset(_) => Duration::ZERO,
            Self::Delay(delay) => delay.lasts.duration(),
            Self::Kill(kill) => kill.after(),
        }
    }

    /// Whether what the proxy reports proves that the effect took place.
    #[must_use]
    pub fn is_proven_by(self, traces: Traces) -> bool {
        match self {
            Self::Reset(_) => Reset::is_proven_by(traces),
            Self::Delay(delay) => delay.is_proven_by(traces),
            Self::Kill(kill) => kill.is_proven_by(traces),
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reset(reset) => f.pad(&format!("at {:?}", reset.at)),
            Self::Delay(delay) => f.pad(&format!("at {:?} for {}", delay.at, delay.lasts)),
            Self::Kill(Kill { at, after: None }) => f.pad(&format!("kills at {at:?}")),
            Self::Kill(Kill { at, after: Some(after) }) => f.pad(&format!("kills {after} after {at:?}")),
        }
    }
}
