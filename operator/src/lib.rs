//! The operator: it sets up a lab on the cluster for each `ChaosExperiment`, starts the load, and writes the verdict into the
//! experiment's status.
//!
//! One reconcile passes through these modules in this order: `observe` reads the cluster, `decide` chooses what to do next
//! (pure), `desired` describes the objects (pure), `apply` creates or deletes them, `status` composes the status (pure).
//! `controller` starts a reconcile for every change, `operator` runs the controller together with leader election, health and
//! metrics. This crate must not know how payments are sent, broken or booked. The only sockets that it opens are those to the
//! Kubernetes API and one for health and metrics.

mod api;
mod apply;
mod cluster;
mod controller;
mod decide;
mod desired;
mod error;
pub mod evidence;
mod failures;
#[cfg(test)]
mod fixtures;
mod leader;
mod memory;
mod names;
mod observe;
mod operator;
pub mod options;
pub mod parts;
mod planned;
mod quantity;
mod queue;
mod reconcile;
mod serve;
mod status;
pub mod wait;
mod watches;

pub use crate::{controller::reconcile_all, error::Error, leader::LeaderError, operator::run};
