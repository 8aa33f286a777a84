//! What every part that serves HTTP has: a listener, refusals that look alike, and a drain.
//!
//! It must not know what a part serves.

pub mod contract;
pub mod flights;
pub mod listen;
pub mod refusal;
