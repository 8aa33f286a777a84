//! What all connections of the fault plane share.

use paylab_part::flights::Flights;

use crate::{fault::counters::Counters, fault::rules::RuleBook, options::Options, transport::upstream::Upstream};

/// The rules, the counts, the relays under way, and the service.
#[derive(Debug)]
pub(crate) struct FaultPlane {
    pub(crate) rules: RuleBook,
    pub(crate) counters: Counters,
    pub(crate) flights: Flights,
    pub(crate) upstream: Upstream,
    /// Whether payments are taken at all; otherwise only named proxies are served.
    pub(crate) takes_payments: bool,
}

impl FaultPlane {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            rules: RuleBook::default(),
            counters: Counters::default(),
            flights: Flights::default(),
            takes_payments: options.listen().is_some(),
            upstream: Upstream::new(options.upstream().to_string(), options.dial_timeout.duration()),
        }
    }
}
