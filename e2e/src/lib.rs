//! A real Kubernetes node for tests, on a Linux machine without a container builder or a registry. It consists of Kubernetes'
//! own components, built from its Go module, and Debian's containerd, all in Linux namespaces of their own. It is a tool for
//! tests only (users run kind), and must know nothing of Paylab.

mod client;
mod host;
mod node;
mod wait;

pub use crate::{
    client::audit_log::{AuditLog, AuditedRequest},
    node::{Node, NodeKind, component::Component, stop_node},
    wait::eventually,
};
