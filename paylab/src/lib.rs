//! Paylab on one machine: the commands, and the parts of the lab as threads of one process.

pub mod cli;
pub mod commands;
mod database;
mod evidence;
pub mod exit;
mod gauntlet;
mod guard;
pub mod lab;
mod leftovers;
pub mod logs;
mod machine;
mod our_service;
mod output;
mod page;
mod series;
mod shrink;
mod signals;
pub mod source;
mod stray;
mod supervisor;
mod target;
mod tidy;
mod toxiproxy_options;
