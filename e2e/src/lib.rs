//! A real Kubernetes node for tests, on a Linux machine without a container builder or a registry: Kubernetes' own parts, built from
//! its Go module, and Debian's containerd, in namespaces of their own. Users take kind; this is a tool of the tests, never of the
//! product, and must know nothing of Paylab.

mod audit;
mod certificates;
mod client;
mod dns;
mod keeper;
mod node;
mod part;
mod place;
mod programs;
mod settings;
mod start;
mod wait;

pub use crate::{
    audit::{Audit, Request},
    node::{Node, Tier, end},
    part::Part,
    wait::eventually,
};
