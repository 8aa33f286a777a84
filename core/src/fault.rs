//! What breaks: faults, their effects on an attempt, and the sampler that decides which attempt meets which fault.
//!
//! A new effect is one file beside [`reset`] and one variant of [`effect::Effect`].

pub mod effect;
pub mod point;
pub mod reset;
pub mod sampler;
pub mod spec;
pub mod traces;
