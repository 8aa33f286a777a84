//! Paylab's pure core: what an experiment does, what will happen in it, and what the evidence says about it.
//!
//! This crate must not know about Kubernetes, YAML, HTTP, sockets, files, clocks or random generators: every function in it
//! depends on its arguments alone. The parts (service, proxy, load, operator) depend on it and never on one another.
//!
//! The feature `schema` adds JSON schemas for the custom resource; the feature `outcome` adds [`outcome`] and [`theory`].

pub mod chronicle;
pub mod claim;
pub mod client;
pub mod duration_text;
pub mod exposures;
pub mod fault;
pub mod field_error;
pub mod judge;
pub mod money;
#[cfg(feature = "outcome")]
pub mod outcome;
pub mod payment;
pub mod per_payment;
pub mod plan;
pub mod prediction;
pub mod probability;
pub mod run_id;
pub mod targets;
pub mod text_form;
#[cfg(feature = "outcome")]
pub mod theory;
pub mod witness;
