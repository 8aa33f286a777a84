//! Health and metrics over HTTP.

mod health;
mod metrics;

pub(crate) use self::{
    health::{Health, serve},
    metrics::Metrics,
};
