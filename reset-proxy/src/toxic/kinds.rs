//! One file for each kind of toxic. Each is a pure step: the time and the random numbers are given to it.

pub(crate) mod bandwidth;
pub(crate) mod latency;
pub(crate) mod limit_data;
pub(crate) mod packet_loss;
pub(crate) mod reset_peer;
pub(crate) mod slicer;
pub(crate) mod slow_close;
pub(crate) mod timeout;
