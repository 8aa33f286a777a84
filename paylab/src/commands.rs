//! The commands: each one reads its options, does its work through the library crates, and prints through the presenters.

pub mod check;
pub mod explain;
pub mod gauntlet;
pub mod init;
pub(crate) mod output_files;
pub mod part;
pub mod predict;
pub(crate) mod progress;
pub mod report;
pub(crate) mod report_files;
pub mod run;
pub mod serve;
pub mod shrink;
pub mod supervise;
pub(crate) mod wait;
