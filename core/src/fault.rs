//! What breaks: faults, their effects on an attempt, and the sampler that decides which attempt meets which fault.
//!
//! A new effect is one file beside [`reset`], [`delay`] and [`kill`], one variant of [`effect::Effect`] and one field of [`spec::FaultSpec`].

pub mod delay;
pub mod effect;
pub mod kill;
pub mod point;
pub mod reset;
pub mod sampler;
pub mod spec;
pub mod traces;
