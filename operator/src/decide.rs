//! Chooses what to do next, and adds up the evidence, from what was observed. Pure: nothing in here makes a request to the cluster.

pub(crate) mod evidence;
pub(crate) mod lab_changes;
pub(crate) mod waiting;

mod decision;
mod paid_service;
mod problem;
mod progress;

pub(crate) use self::{
    decision::{Decision, blocked, decide},
    problem::{PodProblem, Tolerance},
    progress::progress,
    waiting::Timeline,
};
