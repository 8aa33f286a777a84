//! What the proxy reports about carrying out a fault.

use std::time::Duration;

/// The traces that a fault has left in the proxy's record of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traces {
    /// Whether the client's socket was reset on purpose, and that succeeded; `None`: no reset was tried.
    pub client_reset: Option<bool>,
    /// Whether the client had left before.
    pub client_left: bool,
    /// How long the request or the response was held on purpose.
    pub held: Option<Duration>,
    /// Whether the process of the service was ordered to die.
    pub kill_ordered: bool,
    /// Whether the process was dead and has served again.
    pub served_again: bool,
}
