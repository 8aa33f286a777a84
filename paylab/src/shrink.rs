//! The room of shrinking: makes a run that breaks its claim as small as possible while the same class of anomaly stays. Every step is a real
//! run. What a step may change is pure (`form.rs`, `steps.rs`); how often it is run, and when to stop, is in `probe.rs`.

mod form;
mod probe;
mod search;
mod steps;

pub(crate) use self::{
    probe::{Budget, Exhausted, Prober},
    search::{Found, Shrunk, Violation, shrink, violation},
};
