//! The tests of the judge, the prediction and the theory, in one program, which is linked once.
//! `cargo test --package paylab-core --test all chronicle` runs the tests of one module.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod chronicle;
mod counts;
mod doubts;
mod judge;
mod ledger_total;
mod outcome;
mod prediction;
mod theory;
mod totals;
mod witnesses;
