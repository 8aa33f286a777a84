//! What tests of several crates share: a real PostgreSQL, found or started, and the evidence of runs.

pub mod evidence;
pub mod postgres;

pub use postgres::{Durability, Postgres, postgres};
