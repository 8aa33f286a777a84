//! What the tests of several crates share: a real PostgreSQL server, found or started.
//!
//! It must not know the crates that use it.

pub mod postgres;

pub use postgres::{Durability, Postgres, postgres};
