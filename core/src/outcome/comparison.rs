//! Two runs of one experiment compared: one before a change of client or service, and one after it.

use std::collections::BTreeSet;

use super::{Outcome, totals::Total};
use crate::{
    claim::Verdict,
    judge::{anomaly::Anomaly, doubt::Doubt},
    plan::Plan,
};

/// What has changed from an earlier run to a later one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The verdicts.
    pub verdicts: Change<Verdict>,
    /// How many payments have each anomaly that breaks the claim, where one of the runs has any; `None`: the evidence cannot show it.
    pub broken: Vec<(Anomaly, Change<Option<u64>>)>,
    /// The totals; `None`: the evidence does not say.
    pub totals: Vec<(Total, Change<Option<u64>>)>,
    /// Doubts that only the later run leaves.
    pub doubts_new: Vec<Doubt>,
    /// Doubts that only the earlier run left.
    pub doubts_gone: Vec<Doubt>,
    /// The parts of the experiment that are not the same.
    pub changed: Vec<Part>,
}

/// Something before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change<T> {
    /// In the earlier run.
    pub before: T,
    /// In the later run.
    pub after: T,
}

/// A part of an experiment that may be changed between two runs that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The client.
    Client,
    /// The service that is paid.
    Service,
}

/// Why two runs cannot be compared: something that decides what happens is not the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} is {before} in the earlier run and {after} in this one; compare runs of the same claim, seed, payments and faults"
)]
pub struct Unlike {
    what: &'static str,
    before: String,
    after: String,
}

impl Comparison {
    /// Compares two runs.
    ///
    /// # Errors
    /// They have another claim, other payments, another seed or other faults, so that a difference would say nothing about client and service.
    pub fn of(earlier: &Outcome, later: &Outcome) -> Result<Self, Unlike> {
        check_alike(&earlier.plan, &later.plan)?;
        let counts = |anomaly| Change { before: count(earlier, anomaly), after: count(later, anomaly) };
        let breaking = Anomaly::ALL.into_iter().filter(|anomaly| anomaly.violates(later.plan.claim));
        let broken = breaking.map(|anomaly| (anomaly, counts(anomaly)));
        let some = |count: Option<u64>| count.is_some_and(|count| count > 0);
        let totals = Total::ALL.map(|total| {
            (total, Change { before: total.measured(&earlier.report), after: total.measured(&later.report) })
        });
        let doubts = |outcome: &Outcome| outcome.report.doubts.keys().copied().collect::<BTreeSet<_>>();
        let (doubts_before, doubts_after) = (doubts(earlier), doubts(later));
        let parts = [
            (Part::Client, earlier.plan.client == later.plan.client),
            (Part::Service, earlier.plan.target == later.plan.target),
        ];
        Ok(Self {
            verdicts: Change { before: earlier.verdict, after: later.verdict },
            broken: broken.filter(|(_, change)| some(change.before) || some(change.after)).collect(),
            totals: totals.into(),
            doubts_new: doubts_after.difference(&doubts_before).copied().collect(),
            doubts_gone: doubts_before.difference(&doubts_after).copied().collect(),
            changed: parts.into_iter().filter(|(_, same)| !same).map(|(part, _)| part).collect(),
        })
    }
}

/// How many payments have an anomaly; `None`: the evidence cannot show it.
fn count(outcome: &Outcome, anomaly: Anomaly) -> Option<u64> {
    outcome.can_show(anomaly).then(|| outcome.report.count(anomaly))
}

fn check_alike(earlier: &Plan, later: &Plan) -> Result<(), Unlike> {
    let faults = |plan: &Plan| format!("{} faults", plan.faults().len());
    let same_faults = earlier.faults() == later.faults();
    // Different faults may be as many.
    let faults =
        if same_faults { [String::new(), String::new()] } else { [faults(earlier), faults(later) + " that differ"] };
    let compared = [
        ("the claim", [earlier.claim.name().to_owned(), later.claim.name().to_owned()]),
        ("the seed", [earlier.seed().to_string(), later.seed().to_string()]),
        ("the number of payments", [earlier.count.to_string(), later.count.to_string()]),
        ("the amount", [earlier, later].map(|plan| format!("{} {}", plan.amount, plan.currency))),
        ("what breaks connections", faults),
    ];
    for (what, [before, after]) in compared {
        if before != after {
            return Err(Unlike { what, before, after });
        }
    }
    Ok(())
}
