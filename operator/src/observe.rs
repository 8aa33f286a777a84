//! Reads the cluster once at the start of a reconcile, and extracts what a decision needs. It must not decide anything.

pub(crate) mod jobs;
pub(crate) mod pods;
pub(crate) mod trimmed;

mod cluster;
mod last_words;
mod logs;
mod ownership;
mod run_pods;
mod watched;

pub(crate) use self::{
    cluster::{Observed, PaidService, observe},
    logs::{load_evidence, load_logs},
    ownership::{Ownership, controls},
    run_pods::RunPods,
    watched::{Watched, Writers},
};
