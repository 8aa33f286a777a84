//! What the judge has counted: the share of one worker, or the whole run once the shares are merged. It fits the termination
//! message of a pod; [`crate::outcome`] draws the conclusion.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    judge::{
        anomaly::{Anomaly, EXAMPLES_KEPT, Examples},
        doubt::{Doubt, DoubtNote},
    },
    witness::{history::AttemptTotals, record::FaultTally},
};

/// The three witnesses added up.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The run.
    pub run_id: String,
    /// The seed of every fate.
    pub seed: u64,
    /// Attempts by outcome.
    pub attempts: AttemptTotals,
    /// Payments by what became of them.
    pub payments: PaymentTotals,
    /// Entries of the ledger, phantoms included.
    pub entries: u64,
    /// What they add up to, in minor units.
    pub booked_minor: i64,
    /// Payments with something wrong, by what is wrong.
    pub anomalies: BTreeMap<Anomaly, Examples>,
    /// The first few references of phantoms.
    pub phantom_references: Vec<String>,
    /// What each fault did, in the order of the spec.
    pub faults: Vec<FaultTally>,
    /// What the proxy and the service have counted.
    pub lab: LabTotals,
    /// Why the evidence does not suffice.
    pub doubts: BTreeMap<Doubt, DoubtNote>,
}

/// Payments by what became of them. What is wrong with them is in [`Report::anomalies`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentTotals {
    /// Payments of the share.
    pub intended: u64,
    /// The client saw an acknowledgement.
    pub acknowledged: u64,
    /// The client cannot know whether it was booked.
    pub unknown: u64,
    /// At least one entry.
    pub booked: u64,
    /// Booked, though the client saw no acknowledgement.
    pub booked_unknown: u64,
}

/// What the proxy and the service have counted. Of a sum that a part keeps over all shares, the latest value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LabTotals {
    /// Requests of this share in the proxy's record.
    pub recorded: u64,
    /// Of these, sent to the service whole.
    pub forwarded: u64,
    /// Requests that reached the service after the payment's first one had: chances to pay twice.
    pub repeats_forwarded: u64,
    /// Connections that the proxy has accepted, over all shares.
    pub connections: u64,
    /// Whole requests that the service has counted, over all shares.
    pub service_requests: u64,
    /// Connections reset without an order by a fault, over all shares.
    pub unintended_resets: u64,
    /// Requests without a `Paylab-Attempt` header, over all shares.
    pub unattributed: u64,
    /// Requests that could not be recorded, over all shares.
    pub unrecorded: u64,
    /// Requests that passed because the rules had lapsed, over all shares.
    pub lapsed: u64,
    /// What duplicates booked beyond one entry each, in minor units.
    pub excess_minor: i64,
}

impl Report {
    /// How many payments have an anomaly.
    #[must_use]
    pub fn count(&self, anomaly: Anomaly) -> u64 {
        self.anomalies.get(&anomaly).map_or(0, |examples| examples.count)
    }

    /// Whether the shares of all workers are in it.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.doubts.contains_key(&Doubt::ReportMissing) && !self.doubts.contains_key(&Doubt::EnvironmentChanged)
    }

    /// Adds a doubt.
    pub fn doubt(&mut self, doubt: Doubt, note: DoubtNote) {
        let DoubtNote { count, first, detail } = note;
        let known = self.doubts.entry(doubt).or_default();
        known.count += count;
        known.first = [known.first, first].into_iter().flatten().min();
        known.detail = known.detail.take().or(detail);
    }

    /// Adds the report of another share of the same run.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        let Self {
            run_id: _,
            seed: _,
            attempts,
            payments,
            entries,
            booked_minor,
            anomalies,
            phantom_references,
            faults,
            lab,
            doubts,
        } = other;
        self.attempts = self.attempts.plus(attempts);
        self.payments = self.payments.plus(payments);
        self.entries += entries;
        self.booked_minor += booked_minor;
        for (anomaly, examples) in anomalies {
            self.anomalies.entry(anomaly).or_default().merge(examples);
        }
        self.phantom_references.extend(phantom_references);
        for (known, FaultTally { drawn, fired, effective }) in self.faults.iter_mut().zip(faults) {
            known.drawn += drawn;
            known.fired += fired;
            known.effective += effective;
        }
        self.lab = self.lab.plus(lab);
        for (doubt, note) in doubts {
            self.doubt(doubt, note);
        }
        self
    }

    /// As JSON of at most `bytes_max` bytes: if it is too long, examples are left out first, then details; counts always stay.
    #[must_use]
    pub fn to_json_within(&self, bytes_max: usize) -> String {
        let mut report = self.clone();
        for kept in (0..=EXAMPLES_KEPT).rev() {
            let json = serde_json::to_string(&report).unwrap_or_default();
            if json.len() <= bytes_max {
                return json;
            }
            report.anomalies.values_mut().for_each(|examples| examples.first.truncate(kept));
        }
        report.phantom_references.clear();
        report.doubts.values_mut().for_each(|note| note.detail = None);
        serde_json::to_string(&report).unwrap_or_default()
    }
}

impl PaymentTotals {
    const fn plus(self, other: Self) -> Self {
        let Self { intended, acknowledged, unknown, booked, booked_unknown } = other;
        Self {
            intended: self.intended + intended,
            acknowledged: self.acknowledged + acknowledged,
            unknown: self.unknown + unknown,
            booked: self.booked + booked,
            booked_unknown: self.booked_unknown + booked_unknown,
        }
    }
}

impl LabTotals {
    fn plus(self, other: Self) -> Self {
        let Self {
            recorded,
            forwarded,
            repeats_forwarded,
            connections,
            service_requests,
            unintended_resets,
            unattributed,
            unrecorded,
            lapsed,
            excess_minor,
        } = other;
        Self {
            recorded: self.recorded + recorded,
            forwarded: self.forwarded + forwarded,
            repeats_forwarded: self.repeats_forwarded + repeats_forwarded,
            excess_minor: self.excess_minor + excess_minor,
            connections: self.connections.max(connections),
            service_requests: self.service_requests.max(service_requests),
            unintended_resets: self.unintended_resets.max(unintended_resets),
            unattributed: self.unattributed.max(unattributed),
            unrecorded: self.unrecorded.max(unrecorded),
            lapsed: self.lapsed.max(lapsed),
        }
    }
}
