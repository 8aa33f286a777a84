//! What all connections of the fault plane share.

use std::sync::Arc;

use crate::{counters::Counters, flights::Flights, options::Options, rules::RuleBook, upstream::Upstream};

/// The rules, the counts, the relays under way, and the service.
#[derive(Debug)]
pub(crate) struct FaultPlane {
    pub(crate) rules: RuleBook,
    pub(crate) counters: Counters,
    pub(crate) flights: Arc<Flights>,
    pub(crate) upstream: Upstream,
}

impl FaultPlane {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            rules: RuleBook::default(),
            counters: Counters::default(),
            flights: Arc::default(),
            upstream: Upstream::new(options.upstream.clone(), options.dial_timeout.duration()),
        }
    }
}
