//! What tests of several crates share: a real PostgreSQL and a real MariaDB, found or started, and the evidence of runs.

pub mod evidence;
mod keeper;
pub mod mariadb;
pub mod postgres;

pub use keeper::free_port;
pub use mariadb::{MariaDb, mariadb};
pub use postgres::{Durability, Postgres, postgres};
