//! The tests of the whole lab and of the command line, in one program: they wait for each other's processors, not for each other's end, and
//! are linked once. `cargo test --package paylab --test all shrink` runs the tests of one module.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod apis;
mod cluster;
mod commands;
mod contracts;
mod databases;
mod descriptors;
mod evidence;
mod gauntlet;
mod generated;
mod interference;
mod interrupted;
mod killed;
mod ledgers;
mod lessons;
mod liars;
mod lies;
mod nemeses;
mod odd_answers;
mod orphans;
mod page;
mod planted;
mod properties;
mod readme;
mod secrets;
mod several;
mod shrink;
mod signals;
mod support;
mod tls;
mod until_bound;
mod unwritable;
mod usage;
mod wait;
