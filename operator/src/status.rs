//! Composes an experiment's status, and reads it. Pure.

#[cfg(test)]
mod argocd;
mod builder;
mod conditions;
mod query;

pub(crate) use self::{
    builder::StatusBuilder,
    query::{is_final, is_verified, keeps_lab, launched_at, started_at},
};
