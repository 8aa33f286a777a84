//! Reads the cluster, once, at the start of a reconcile, and the facts out of what was read. It must not decide anything.

pub(crate) mod jobs;
pub(crate) mod pods;

mod cluster;
mod logs;
mod ownership;

pub(crate) use self::{
    cluster::{Observed, observe},
    logs::load_logs,
    ownership::Ownership,
};
