//! Access to a running node: kubectl, helm and ctr, the API server's audit log, and DNS queries.

pub(crate) mod admin_tools;
pub(crate) mod audit_log;
pub(crate) mod dns;
