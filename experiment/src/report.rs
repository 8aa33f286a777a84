//! What the judge has counted: one load pod's share, or the whole run once shares are merged. It fits a pod's
//! termination message; [`crate::verdict`] draws the conclusion.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    history::{AttemptTotals, Stop},
    record::FaultTally,
    spec::Claim,
};

/// So many payments of each class are named as its proof.
pub const CASES_KEPT: usize = 10;

/// The three witnesses added up.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Which run.
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
    /// Payments that prove something, by class.
    pub cases: BTreeMap<Class, Cases>,
    /// The first few references of phantoms.
    pub phantom_references: Vec<String>,
    /// What each fault did, in the order of the spec.
    pub faults: Vec<FaultTally>,
    /// The lab's own instruments.
    pub lab: LabTotals,
    /// Why the lab cannot say.
    pub doubts: BTreeMap<Doubt, Note>,
}

/// Payments by what became of them. What is wrong with them is in [`Report::cases`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentTotals {
    /// Payments of the share.
    pub intended: u64,
    /// The client saw an acknowledgement.
    pub acknowledged: u64,
    /// The client cannot know.
    pub unknown: u64,
    /// At least one entry.
    pub booked: u64,
    /// Booked, though the client saw no acknowledgement.
    pub booked_unknown: u64,
}

/// What can be wrong with a payment, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Class {
    /// The client was told "paid", and there is no entry.
    AcknowledgedButLost,
    /// The service answered a whole request with a 2xx that the client never saw, and there is no entry.
    AnsweredButLost,
    /// The client was told "certainly not", and there is an entry.
    RejectedButBooked,
    /// An entry that nobody asked for.
    Phantom,
    /// An entry whose amount or parties nobody asked for, or an acknowledged amount that is not in the ledger.
    Mismatched,
    /// More entries than requests that reached the service.
    SelfDuplicated,
    /// Two entries or more.
    Duplicated,
    /// No entry, though the client was to try until acknowledged.
    Undelivered,
    /// No entry; the client gave up, as it was told to.
    Lost,
}

/// Payments of one class.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cases {
    /// How many.
    pub count: u64,
    /// The first of them, at most [`CASES_KEPT`], in the order of payments.
    pub first: Vec<Case>,
}

/// One payment that proves something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Case {
    /// Its index.
    pub payment: u64,
    /// How often it was tried.
    pub attempts: u64,
    /// How often it was booked.
    pub entries: u64,
}

/// The lab's own instruments. Sums that a part keeps over all shares are the latest it has told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LabTotals {
    /// Requests of this share in the proxy's record.
    pub recorded: u64,
    /// Of these, sent to the service whole.
    pub forwarded: u64,
    /// Requests that reached the service after the payment's first one had: chances to pay twice.
    pub repeats_forwarded: u64,
    /// Connections the proxy has accepted, over all shares.
    pub connections: u64,
    /// Whole requests the service has counted, over all shares.
    pub service_requests: u64,
    /// Connections reset though no fault said so, over all shares.
    pub unintended_resets: u64,
    /// Requests without a `Paylab-Attempt` header, over all shares.
    pub unattributed: u64,
    /// Requests that could not be written down, over all shares.
    pub unrecorded: u64,
    /// Requests that passed because the rules had lapsed, over all shares.
    pub lapsed: u64,
    /// What duplicates booked beyond one entry each, in minor units.
    pub excess_minor: i64,
}

/// Why the lab cannot say. Each makes the verdict `Inconclusive`, unless the claim is broken all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Doubt {
    /// Parts of the lab were replaced while the load ran, and what they knew is gone.
    EnvironmentChanged,
    /// Load pods have left no report.
    ReportMissing,
    /// The load ended before its time.
    LoadStopped,
    /// Payments have no end.
    LoadIncomplete,
    /// The client's machine ran out of ports.
    PortShortage,
    /// The ledger is not whole.
    LedgerFlawed,
    /// The record is not whole.
    RecordFlawed,
    /// Requests could not be written down.
    Unrecorded,
    /// Requests in the record are not the client's attempts.
    AttemptsDiffer,
    /// Coins or fates are not those of the seed.
    CoinsDiffer,
    /// Faults were ordered and not carried out.
    FaultsFailed,
    /// Requests passed because the rules had lapsed.
    Lapsed,
    /// The proxy saw requests of others.
    Strangers,
    /// Connections were reset though no fault said so.
    UnintendedResets,
    /// The service has not counted the requests that it was sent.
    RequestsDiffer,
    /// Connections are more or fewer than the attempts.
    ConnectionsDiffer,
    /// A fault that should have struck never did.
    FaultSilent,
    /// Too few chances for the path to break its claim.
    TooFewExposures,
}

/// How often, where first, and what more can be said.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Note {
    /// How often.
    pub count: u64,
    /// The first payment it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u64>,
    /// What more can be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Class {
    /// Whether one payment of this class breaks a claim.
    #[must_use]
    pub const fn violates(self, claim: Claim) -> bool {
        match self {
            Self::AcknowledgedButLost
            | Self::AnsweredButLost
            | Self::RejectedButBooked
            | Self::Phantom
            | Self::Mismatched
            | Self::SelfDuplicated => true,
            Self::Duplicated => matches!(claim, Claim::AtMostOnce | Claim::ExactlyOnce),
            Self::Undelivered => matches!(claim, Claim::AtLeastOnce | Claim::ExactlyOnce),
            Self::Lost => false,
        }
    }
}

impl Cases {
    /// Notes one more payment; they come in ascending order.
    pub fn note(&mut self, case: Case) {
        self.count += 1;
        if self.first.len() < CASES_KEPT {
            self.first.push(case);
        }
    }
}

impl Stop {
    /// Why the load ended, for a sentence.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Deadline => "the load met its deadline (spec.activeDeadline)",
            Self::Signal => "the load was told to stop",
            Self::Attempts => "a payment met the bound of attempts without an acknowledgement",
            Self::Unreachable => "nothing answered where the proxy should be",
            Self::NoPort => "the client's machine had no port left to connect from",
        }
    }
}

impl Report {
    /// How many payments are of a class.
    #[must_use]
    pub fn count(&self, class: Class) -> u64 {
        self.cases.get(&class).map_or(0, |cases| cases.count)
    }

    /// Whether every load pod's share is in it.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.doubts.contains_key(&Doubt::ReportMissing) && !self.doubts.contains_key(&Doubt::EnvironmentChanged)
    }

    /// Notes a doubt.
    pub fn doubt(&mut self, doubt: Doubt, note: Note) {
        let Note { count, first, detail } = note;
        let known = self.doubts.entry(doubt).or_default();
        known.count += count;
        known.first = [known.first, first].into_iter().flatten().min();
        known.detail = known.detail.take().or(detail);
    }

    /// Adds the report of another share of the same run.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        let Self { run_id: _, seed: _, attempts, payments, entries, booked_minor, cases, .. } = &other;
        self.attempts = self.attempts.plus(*attempts);
        self.payments = self.payments.plus(*payments);
        self.entries += entries;
        self.booked_minor += booked_minor;
        for (class, Cases { count, first }) in cases {
            let known = self.cases.entry(*class).or_default();
            known.count += count;
            known.first.extend(first);
            known.first.sort_unstable();
            known.first.truncate(CASES_KEPT);
        }
        self.merge_lab(other)
    }

    fn merge_lab(mut self, other: Self) -> Self {
        let Self { phantom_references, faults, lab, doubts, .. } = other;
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

    /// As JSON of at most so many bytes: where it is too long, examples go first, then details; counts always stay.
    #[must_use]
    pub fn to_json_within(&self, bytes_max: usize) -> String {
        let mut report = self.clone();
        for kept in (0..=CASES_KEPT).rev() {
            let json = serde_json::to_string(&report).unwrap_or_default();
            if json.len() <= bytes_max {
                return json;
            }
            report.cases.values_mut().for_each(|cases| cases.first.truncate(kept));
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
        let Self { recorded, forwarded, repeats_forwarded, excess_minor, .. } = other;
        Self {
            recorded: self.recorded + recorded,
            forwarded: self.forwarded + forwarded,
            repeats_forwarded: self.repeats_forwarded + repeats_forwarded,
            excess_minor: self.excess_minor + excess_minor,
            connections: self.connections.max(other.connections),
            service_requests: self.service_requests.max(other.service_requests),
            unintended_resets: self.unintended_resets.max(other.unintended_resets),
            unattributed: self.unattributed.max(other.unattributed),
            unrecorded: self.unrecorded.max(other.unrecorded),
            lapsed: self.lapsed.max(other.lapsed),
        }
    }
}
