//! The tests of the payment service on real sockets and databases, in one program, which is linked once.
//! `cargo test --package payment-service --test all commit` runs the tests of one module.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod commit;
mod connections;
mod group;
mod hang_up;
mod kill;
mod ledger;
mod modes;
mod silence;
mod support;
mod wire;
