//! Which connection of which record, which request on it: what a request is known by when it does not say who it is.

use std::sync::Arc;

use paylab_experiment::{
    payment::{AttemptId, PaymentId},
    record::Protocol,
    spec::Point,
};

use crate::{
    fault::record::{Arrived, Attribution, Line, Record, Seat},
    fault::rules::{RuleBook, Snapshot, Standing},
};

/// A connection's place in the record of the rules in force.
#[derive(Debug, Default)]
pub(crate) struct Seating {
    /// The record, and the last request that was written down in it.
    taken: Option<(Arc<Record>, Seat)>,
}

impl Seating {
    /// A connection was accepted: it is counted, whether or not it will carry a request.
    pub(crate) fn accepted(rules: &RuleBook) -> Self {
        let mut seating = Self::default();
        if let Some(rules) = rules.current() {
            seating.next_in(&rules.record);
        }
        seating
    }

    /// Decides and writes down the fate of a request; `None` when no rules are in force for it.
    pub(crate) fn admit(&mut self, rules: &RuleBook, attempt: Option<AttemptId>, protocol: Protocol) -> Option<Line> {
        match rules.standing() {
            Standing::NoRules => None,
            Standing::Lapsed(rules) => {
                rules.record.count_lapsed();
                None
            }
            Standing::InForce(rules) => {
                let arrived = self.judge(&rules, attempt, protocol);
                Some(self.write_down(&rules, &arrived))
            }
        }
    }

    /// Writes a request down if its fate is to be reset before it is read; otherwise it is judged when it was.
    pub(crate) fn admit_struck_on_connect(
        &mut self,
        rules: &Snapshot,
        attempt: Option<AttemptId>,
        protocol: Protocol,
    ) -> Option<Line> {
        let arrived = self.judge(rules, attempt, protocol);
        let point = arrived.fault.map(|index| rules.record.dice().dies()[index].point);
        (point == Some(Point::Connect)).then(|| self.write_down(rules, &arrived))
    }

    fn judge(&mut self, rules: &Snapshot, attempt: Option<AttemptId>, protocol: Protocol) -> Arrived {
        let seat = self.next_in(&rules.record);
        let (id, attribution) = match attempt {
            Some(id) => (id, Attribution::Named),
            None => (AttemptId { payment: PaymentId(seat.conn), attempt: seat.nth }, Attribution::Seated),
        };
        let dice = rules.record.dice();
        let draw = dice.draw(id);
        let fault = match (protocol, dice.point(&draw)) {
            (Protocol::Http1, _) | (Protocol::Bytes, Some(Point::Connect)) => draw.effective,
            // Bytes have no requests, so nothing that happens to one can happen to them.
            (Protocol::Bytes, _) => None,
        };
        Arrived { seat, id, attribution, protocol, draw, fault }
    }

    fn write_down(&mut self, rules: &Snapshot, arrived: &Arrived) -> Line {
        self.taken = Some((Arc::clone(&rules.record), arrived.seat));
        rules.record.begin(arrived)
    }

    /// The seat of the next request. A connection that has none in this record is given its number.
    fn next_in(&mut self, record: &Arc<Record>) -> Seat {
        let seat = match &self.taken {
            Some((taken, seat)) if Arc::ptr_eq(taken, record) => *seat,
            Some(_) | None => {
                let seat = Seat { conn: record.number_connection(), nth: 0 };
                self.taken = Some((Arc::clone(record), seat));
                seat
            }
        };
        Seat { nth: seat.nth.saturating_add(1), ..seat }
    }
}
