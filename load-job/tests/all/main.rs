//! The tests of the load against scripted servers, in one program, which is linked once.
//! `cargo test --package load-job --test all evidence` runs the tests of one module.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod evidence;
mod loops;
mod outcomes;
mod requests;
mod retries;
#[path = "../scripted/mod.rs"]
mod scripted;
mod unreached;
