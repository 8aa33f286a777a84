//! Chooses what to do next, and adds up the evidence, from what was observed. Pure: nothing in here makes a request to the cluster.

pub(crate) mod evidence;
pub(crate) mod lab_changes;
pub(crate) mod waiting;

mod decision;
mod paid_service;
mod problem;
mod progress;

#[cfg(test)]
pub(crate) use self::problem::Tolerance;
pub(crate) use self::{
    decision::{Decision, blocked, decide, hindered},
    problem::PodProblem,
    progress::progress,
    waiting::Timeline,
};
