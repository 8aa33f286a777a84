//! A proxy that carries out faults at a point of a request, as the rules of a run and its seed say, and records what it
//! did. It knows requests, not payments: it must not know of money, ledgers or claims.
//!
//! It has two planes. `fault` serves the clients of an experiment, request by request. `toxic` serves named proxies as
//! Toxiproxy does, connection by connection. Both are controlled at one port and use `http` and `transport`.

mod control;
mod counter;
mod fault;
#[cfg(fuzzing)]
pub mod fuzzing;
mod http;
mod metrics;
pub mod options;
mod server;
mod toxic;
mod transport;
mod workers;

pub use crate::server::{Error, ResetProxy, run};
