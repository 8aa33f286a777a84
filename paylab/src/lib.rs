//! Paylab on one machine: the commands, and the parts of the lab as threads of one process.

pub mod cli;
pub mod commands;
pub mod exit;
pub mod lab;
pub mod logs;
pub mod source;
mod toxiproxy_options;
