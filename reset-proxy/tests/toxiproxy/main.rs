//! The reset proxy used as Toxiproxy, on real sockets.

#[path = "../support/mod.rs"]
mod support;

mod api;
mod dotnet;
mod hostile;
mod kinds;
mod known_faults;
mod streams;
mod toxic_lab;
