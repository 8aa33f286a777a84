//! What a node takes from this machine: a slot with its addresses, Linux namespaces, and programs.

pub(crate) mod namespaces;
pub(crate) mod programs;
pub(crate) mod slot;
