//! What the judge has counted: the share of one worker, or the whole run once the shares are merged. It fits the termination
//! message of a pod; [`crate::outcome`] draws the conclusion.
//!
//! What a witness has not told is `None`, and so is the sum of several shares if one of them has not told it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    exposures::Exposures,
    judge::{
        anomaly::{Anomaly, EXAMPLES_KEPT, Examples},
        doubt::{Doubt, DoubtNote},
    },
    prediction::Prediction,
    witness::{answers::Answers, history::AttemptTotals, record::FaultTally},
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
    /// Payments by what the client may believe of them.
    pub payments: PaymentTotals,
    /// What came back to the client.
    pub answers: Answers,
    /// What the proxy's record says; `None`: it was not read whole.
    pub record: Option<RecordTotals>,
    /// What the ledger says; `None`: it was not read whole.
    pub ledger: Option<LedgerTotals>,
    /// What the ledger's total says; `None`: it was not read, or the ledger shows its entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<LedgerSum>,
    /// The chances that the path had to break its claim; `None`: record or ledger were not read whole.
    pub exposures: Option<Exposures>,
    /// Payments with something wrong, by what is wrong. Phantoms are in [`LedgerTotals`].
    pub anomalies: BTreeMap<Anomaly, Examples>,
    /// Why the evidence does not suffice.
    pub doubts: BTreeMap<Doubt, DoubtNote>,
    /// What was predicted for the seed; `None`: the load did not run to its end.
    pub prediction: Option<Prediction>,
}

/// Payments by what the client may believe of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentTotals {
    /// Payments of the share.
    pub intended: u64,
    /// The client saw an acknowledgement.
    pub acknowledged: u64,
    /// The client cannot know whether it was booked.
    pub unknown: u64,
}

/// What the proxy's record says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordTotals {
    /// Requests of this share.
    pub recorded: u64,
    /// Of these, sent to the service whole.
    pub forwarded: u64,
    /// What each fault did, in the order of the spec.
    pub faults: Vec<FaultTally>,
    /// What the proxy has counted over all shares.
    pub proxy: ProxyTotals,
}

/// What the proxy has counted over all shares; the latest value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxyTotals {
    /// Connections accepted.
    pub connections: u64,
    /// Connections reset without an order by a fault.
    pub unintended_resets: u64,
    /// Requests without a `Paylab-Attempt` header.
    pub unattributed: u64,
    /// Requests that could not be recorded.
    pub unrecorded: u64,
    /// Requests that passed because the rules had lapsed.
    pub lapsed: u64,
}

/// What the ledger says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LedgerTotals {
    /// Entries of this share's payments.
    pub entries: u64,
    /// What they add up to, in minor units.
    pub booked_minor: i64,
    /// Payments with at least one entry.
    pub booked: u64,
    /// Payments with two entries or more.
    pub duplicated: u64,
    /// Payments that were booked, though the client saw no acknowledgement.
    pub booked_unknown: u64,
    /// What duplicates booked beyond one entry each, in minor units.
    pub excess_minor: i64,
    /// Entries that no payment of the run asked for. Every share sees all of them; the latest value counts.
    pub phantoms: u64,
    /// What these add up to, in minor units.
    pub phantoms_minor: i64,
    /// The first few references of these.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub phantom_references: Vec<String>,
    /// Whole requests that the service has counted since it started, over all shares; the latest value counts.
    pub service_requests: u64,
    /// How many of these it had counted before the load; the earliest value counts.
    pub service_requests_before: u64,
}

/// What a ledger that shows a total and no entry says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LedgerSum {
    /// The total before the load, in minor units.
    pub before_minor: i64,
    /// The total after the load, in minor units.
    pub after_minor: i64,
    /// What all payments add up to that were not refused for good, in minor units.
    pub due_minor: i64,
    /// How many payments were refused for good.
    pub refused: u64,
}

impl LedgerSum {
    /// What the load has booked, in minor units.
    #[must_use]
    pub const fn booked_minor(&self) -> i64 {
        self.after_minor.saturating_sub(self.before_minor)
    }

    /// What was booked beyond what was due, in minor units; negative if money is missing.
    #[must_use]
    pub const fn excess_minor(&self) -> i64 {
        self.booked_minor().saturating_sub(self.due_minor)
    }
}

impl Report {
    /// How many payments have an anomaly; phantoms are entries, and a total is one.
    #[must_use]
    pub fn count(&self, anomaly: Anomaly) -> u64 {
        let excess = self.total.map_or(0, |total| total.excess_minor());
        match anomaly {
            Anomaly::Shortfall => return u64::from(excess < 0),
            Anomaly::Surplus => return u64::from(excess > 0),
            _ => {}
        }
        let phantoms = self.ledger.as_ref().filter(|_| anomaly == Anomaly::Phantom).map_or(0, |ledger| ledger.phantoms);
        phantoms + self.anomalies.get(&anomaly).map_or(0, |examples| examples.count)
    }

    /// Entries of the ledger, phantoms included; `None`: the ledger was not read.
    #[must_use]
    pub fn entries(&self) -> Option<u64> {
        self.ledger.as_ref().map(|ledger| ledger.entries + ledger.phantoms)
    }

    /// What all entries add up to, in minor units; `None`: the ledger was not read.
    #[must_use]
    pub fn booked_minor(&self) -> Option<i64> {
        let by_entries = self.ledger.as_ref().map(|ledger| ledger.booked_minor.saturating_add(ledger.phantoms_minor));
        by_entries.or_else(|| self.total.map(|total| total.booked_minor()))
    }

    /// Payments without an entry; `None`: the ledger was not read.
    #[must_use]
    pub fn lost(&self) -> Option<u64> {
        self.ledger.as_ref().map(|ledger| self.payments.intended.saturating_sub(ledger.booked))
    }

    /// Whole requests that the service has counted during the load; `None`: the ledger was not read.
    #[must_use]
    pub fn requests_at_service(&self) -> Option<u64> {
        self.ledger.as_ref().map(|ledger| ledger.service_requests.saturating_sub(ledger.service_requests_before))
    }

    /// Whether nobody but this client has paid, as far as proxy and service can know.
    #[must_use]
    pub fn is_one_sender(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.proxy.unattributed == 0)
            && !self.doubts.contains_key(&Doubt::OtherSender)
            && !self.doubts.contains_key(&Doubt::RequestsDiffer)
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
            answers,
            record,
            ledger,
            // One worker alone can compare a total before the load with one after it.
            total: _,
            exposures,
            anomalies,
            doubts,
            prediction,
        } = other;
        self.attempts = self.attempts.plus(attempts);
        self.payments = self.payments.plus(payments);
        self.answers.merge(answers);
        self.record = self.record.zip(record).map(|(this, other)| this.plus(other));
        self.ledger = self.ledger.zip(ledger).map(|(this, other)| this.plus(other));
        self.exposures = self.exposures.zip(exposures).map(|(this, other)| this.plus(other));
        self.prediction = self.prediction.zip(prediction).map(|(this, other)| this.plus(other));
        for (anomaly, examples) in anomalies {
            self.anomalies.entry(anomaly).or_default().merge(examples);
        }
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
        if let Some(ledger) = &mut report.ledger {
            ledger.phantom_references.clear();
        }
        report.answers.examples.clear();
        report.answers.first_without_rule = None;
        report.answers.not_understood.clear();
        report.doubts.values_mut().for_each(|note| note.detail = None);
        serde_json::to_string(&report).unwrap_or_default()
    }
}

impl PaymentTotals {
    const fn plus(self, other: Self) -> Self {
        let Self { intended, acknowledged, unknown } = other;
        Self {
            intended: self.intended + intended,
            acknowledged: self.acknowledged + acknowledged,
            unknown: self.unknown + unknown,
        }
    }
}

impl RecordTotals {
    fn plus(self, other: Self) -> Self {
        let Self { recorded, forwarded, faults, proxy } = other;
        Self {
            recorded: self.recorded + recorded,
            forwarded: self.forwarded + forwarded,
            faults: FaultTally::sums(self.faults, faults),
            proxy: self.proxy.latest(proxy),
        }
    }
}

impl ProxyTotals {
    fn latest(self, other: Self) -> Self {
        let Self { connections, unintended_resets, unattributed, unrecorded, lapsed } = other;
        Self {
            connections: self.connections.max(connections),
            unintended_resets: self.unintended_resets.max(unintended_resets),
            unattributed: self.unattributed.max(unattributed),
            unrecorded: self.unrecorded.max(unrecorded),
            lapsed: self.lapsed.max(lapsed),
        }
    }
}

impl LedgerTotals {
    fn plus(self, other: Self) -> Self {
        let Self {
            entries,
            booked_minor,
            booked,
            duplicated,
            booked_unknown,
            excess_minor,
            phantoms,
            phantoms_minor,
            phantom_references,
            service_requests,
            service_requests_before,
        } = other;
        let other_is_later = phantoms > self.phantoms;
        Self {
            entries: self.entries + entries,
            booked_minor: self.booked_minor.saturating_add(booked_minor),
            booked: self.booked + booked,
            duplicated: self.duplicated + duplicated,
            booked_unknown: self.booked_unknown + booked_unknown,
            excess_minor: self.excess_minor.saturating_add(excess_minor),
            phantoms: self.phantoms.max(phantoms),
            phantoms_minor: if other_is_later { phantoms_minor } else { self.phantoms_minor },
            phantom_references: if other_is_later { phantom_references } else { self.phantom_references },
            service_requests: self.service_requests.max(service_requests),
            service_requests_before: self.service_requests_before.min(service_requests_before),
        }
    }
}
