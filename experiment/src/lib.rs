//! Paylab's pure core: what an experiment is, what will happen in it, and what the evidence says.
//!
//! This crate must not know of sockets, files, clocks or entropy: everything in it is a function of its
//! arguments. The four parts (service, proxy, load, operator) depend on it and never on one another.

pub mod contract;
pub mod definition;
pub mod evidence;
pub mod fate;
pub mod file;
pub mod history;
pub mod judge;
pub mod ledger;
pub mod money;
pub mod payment;
pub mod per_payment;
pub mod plan;
pub mod predict;
pub mod record;
pub mod report;
pub mod span;
pub mod spec;
pub mod status;
#[cfg(test)]
mod stories;
pub mod theory;
pub mod totals;
pub mod verdict;
