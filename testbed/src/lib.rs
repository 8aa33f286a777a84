//! What tests of several crates share: a real PostgreSQL, found or started.
//!
//! It must not know the crates that it serves.

pub mod postgres;

pub use postgres::{Durability, Postgres, postgres};
