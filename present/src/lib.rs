//! Presenters: every form in which the outcome of an experiment is shown. They read the core's [`Outcome`] and nothing else,
//! they decide nothing, and all sentences are in this crate.
//!
//! A new form is one file in this folder.
//!
//! [`Outcome`]: paylab_core::outcome::Outcome

pub mod comparison;
mod counting;
pub mod diagram;
pub mod gauntlet;
mod guilt;
pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod measured;
mod remedy;
pub mod run;
pub mod sentence;
mod sequence;
pub mod status;
pub mod text;
