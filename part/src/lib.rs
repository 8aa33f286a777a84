//! What every part that speaks HTTP needs: a listener, refusals that look alike, a drain, and the end of a chunked body.
//!
//! It must not know what a part serves.

pub mod chunked;
pub mod drain;
pub mod listen;
pub mod refusal;

/// The old name of [`drain`], until the reset proxy uses the new one.
pub mod flights {
    pub use crate::drain::DrainTracker as Flights;
}
