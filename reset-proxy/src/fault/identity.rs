//! The identity of each request: the connection of the record it came on, its number there, and the attempt it is. A
//! request without `Paylab-Attempt` is identified by its connection and its number.

use std::sync::Arc;

use paylab_core::{
    fault::point::Point,
    payment::{AttemptId, PaymentId},
    witness::record::Protocol,
};

use crate::fault::{
    record::{Attribution, IdentifiedRequest, OpenEntry, Ordinal, Record},
    rules::{RuleBook, RuleState, Snapshot},
};

/// Numbers the requests of one connection in the record of the rules in force.
#[derive(Debug, Default)]
pub(crate) struct RequestNumbering {
    /// The record, and the last request of this connection in it.
    last: Option<(Arc<Record>, Ordinal)>,
}

impl RequestNumbering {
    /// Counts a connection that was accepted, whether or not it will carry a request.
    pub(crate) fn accepted(rules: &RuleBook) -> Self {
        let mut numbering = Self::default();
        if let Some(rules) = rules.current() {
            numbering.next_in(&rules.record);
        }
        numbering
    }

    /// Decides the fate of a request and opens its entry. `None` when no rules are in force for it.
    pub(crate) fn admit(
        &mut self,
        rules: &RuleBook,
        attempt: Option<AttemptId>,
        protocol: Protocol,
    ) -> Option<OpenEntry> {
        match rules.state() {
            RuleState::NoRules => None,
            RuleState::Lapsed(rules) => {
                rules.record.count_lapsed();
                None
            }
            RuleState::InForce(rules) => {
                let request = self.identify(&rules, attempt, protocol);
                Some(self.open_entry(&rules, &request))
            }
        }
    }

    /// Opens the entry of a request that was not read yet, if its fault is at `Connect`. Any other request is admitted
    /// when it was read.
    pub(crate) fn admit_on_connect(
        &mut self,
        rules: &Snapshot,
        attempt: Option<AttemptId>,
        protocol: Protocol,
    ) -> Option<OpenEntry> {
        let request = self.identify(rules, attempt, protocol);
        let point = request.fault.map(|index| rules.record.sampler().faults()[index].effect.at());
        (point == Some(Point::Connect)).then(|| self.open_entry(rules, &request))
    }

    fn identify(&mut self, rules: &Snapshot, attempt: Option<AttemptId>, protocol: Protocol) -> IdentifiedRequest {
        let ordinal = self.next_in(&rules.record);
        let (id, attribution) = match attempt {
            Some(id) => (id, Attribution::ByHeader),
            None => (AttemptId { payment: PaymentId(ordinal.conn), attempt: ordinal.nth }, Attribution::ByOrdinal),
        };
        let sampler = rules.record.sampler();
        let draw = sampler.draw(id);
        let fault = match (protocol, sampler.point(&draw)) {
            (Protocol::Http1, _) | (Protocol::Bytes, Some(Point::Connect)) => draw.effective,
            // Bytes hold no requests, so no later point exists in them.
            (Protocol::Bytes, _) => None,
        };
        IdentifiedRequest { ordinal, id, attribution, protocol, draw, fault, fate: rules.fate(fault) }
    }

    fn open_entry(&mut self, rules: &Snapshot, request: &IdentifiedRequest) -> OpenEntry {
        self.last = Some((Arc::clone(&rules.record), request.ordinal));
        rules.record.begin(request)
    }

    /// The ordinal of the next request. A connection that has no number in this record is given one.
    fn next_in(&mut self, record: &Arc<Record>) -> Ordinal {
        let last = match &self.last {
            Some((known, ordinal)) if Arc::ptr_eq(known, record) => *ordinal,
            Some(_) | None => {
                let ordinal = Ordinal { conn: record.number_connection(), nth: 0 };
                self.last = Some((Arc::clone(record), ordinal));
                ordinal
            }
        };
        Ordinal { nth: last.nth.saturating_add(1), ..last }
    }
}
