//! The custom resource ChaosExperiment: its spec, its status, its definition, and the reading of its file.
//!
//! It turns what a user has written into the core's plan. It must not know how an experiment is run, judged or shown.

pub mod definition;
pub mod file;
pub mod nemesis;
mod path;
pub mod plan;
pub mod reference;
pub mod spec;
pub mod status;
pub mod validation;
mod yaml;
