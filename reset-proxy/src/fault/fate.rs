//! What a fault does to a request. This is the decision alone; `reset`, `hold` and `kill` carry it out.

use std::time::Duration;

use paylab_core::fault::{effect::Effect, point::Point};

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It passes.
    Pass,
    /// Its connection is reset at this point.
    Reset(Point),
    /// It waits at this point, or its response does, and passes afterwards.
    Hold { at: Point, lasts: Duration },
    /// The service is killed this long after the point.
    Kill { at: Point, after: Duration },
}

impl Fate {
    /// What an effect does to the request that meets it.
    pub(crate) fn of(effect: Effect) -> Self {
        match effect {
            Effect::Reset(reset) => Self::Reset(reset.at),
            Effect::Delay(delay) => Self::Hold { at: delay.at, lasts: delay.lasts.duration() },
            Effect::Kill(kill) => Self::Kill { at: kill.at, after: kill.after() },
        }
    }
}
