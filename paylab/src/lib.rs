//! Paylab on one machine: the commands, and the parts of the lab as threads of one process.

pub mod cli;
pub mod exit;
pub mod explain;
pub mod lab;
pub mod logs;
pub mod parts;
pub mod predict;
mod progress;
pub mod run;
pub mod serve;
pub mod source;
mod spelling;
mod terminal;
mod wait;
