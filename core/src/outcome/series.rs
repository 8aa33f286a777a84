//! Several runs of one experiment, each with a seed of its own, added up: more payments, and so more chances to break the claim, than one run
//! has. Each of them can be repeated alone with its seed.

use serde::{Deserialize, Serialize};

use crate::judge::{
    doubt::Doubt,
    report::{LedgerTotals, ProxyTotals, Report},
};

/// Which runs an outcome adds up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Series {
    /// How many.
    pub runs: u64,
    /// The seed of the first. Those of the others follow it.
    pub first_seed: u64,
    /// The seed of the last.
    pub last_seed: u64,
    /// The bound of the bug rate that was asked for, as it was written.
    pub until_bound: String,
    /// How long all runs together may take, if that was asked for, as it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<String>,
    /// How many payments all runs together may make, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payments_most: Option<u64>,
}

/// The report of a run added to those of earlier ones. What one proxy or one service has counted for all shares of a run is added up too,
/// because each run has its own.
#[must_use]
pub fn plus_run(earlier: Report, later: Report) -> Report {
    let proxy = earlier.record.as_ref().zip(later.record.as_ref()).map(|(one, other)| summed(one.proxy, other.proxy));
    let ledger = earlier.ledger.clone().zip(later.ledger.clone());
    let mut sum = earlier.merge(later);
    if let (Some(record), Some(proxy)) = (&mut sum.record, proxy) {
        record.proxy = proxy;
    }
    if let (Some(totals), Some((one, other))) = (&mut sum.ledger, ledger) {
        *totals = LedgerTotals {
            phantoms: one.phantoms + other.phantoms,
            phantoms_minor: one.phantoms_minor.saturating_add(other.phantoms_minor),
            service_requests: one.service_requests + other.service_requests,
            service_requests_before: one.service_requests_before + other.service_requests_before,
            ..totals.clone()
        };
    }
    sum
}

/// Forgets that one run alone had too few chances to break its claim: what counts is the sum of all.
pub fn forget_exposures_of_one(report: &mut Report) {
    report.doubts.remove(&Doubt::TooFewExposures);
}

const fn summed(one: ProxyTotals, other: ProxyTotals) -> ProxyTotals {
    let ProxyTotals { connections, unintended_resets, unattributed, unrecorded, lapsed } = other;
    ProxyTotals {
        connections: one.connections + connections,
        unintended_resets: one.unintended_resets + unintended_resets,
        unattributed: one.unattributed + unattributed,
        unrecorded: one.unrecorded + unrecorded,
        lapsed: one.lapsed + lapsed,
    }
}
