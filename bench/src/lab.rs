//! The whole lab, with each part as a process of its own.

mod foreign_view;
pub(crate) mod kills;
mod lab_run;
pub(crate) mod lesson;
pub(crate) mod scale;
pub(crate) mod target;
pub(crate) mod tcp_baseline;
pub(crate) mod throughput;
