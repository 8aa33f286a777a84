//! What a fault does to a request. This is the decision alone; `reset` and `hold` carry it out.

use std::time::Duration;

use paylab_experiment::{fate::Die, spec::Point};

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It passes.
    Pass,
    /// Its connection is reset at this point.
    Reset(Point),
    /// It waits at this point, or its response does, and passes afterwards.
    #[cfg_attr(not(test), expect(dead_code, reason = "no fault of the core delays a request yet"))]
    Hold { at: Point, lasts: Duration },
}

impl Fate {
    /// What a fault of the rules does when it takes effect.
    pub(crate) const fn of(fault: &Die) -> Self {
        // The core's faults are resets only; a fault that delays becomes a `Hold` here.
        Self::Reset(fault.point)
    }
}
