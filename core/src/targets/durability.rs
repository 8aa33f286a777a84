//! What is left of a booking when the process of the service dies: a model of how a service books, step by step.

use crate::{
    client::{ClientPlan, KeyPolicy},
    fault::kill::{Death, Kill},
    plan::Plan,
    targets::ours::Dedup,
};

/// What a service keeps of a payment when its process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Key and entry are committed together, so that a booking is there as a whole or not at all.
    #[default]
    Atomic,
    /// The key is committed before the entry.
    KeyFirst,
    /// The entry is committed before the key.
    EntryFirst,
    /// The keys are in the memory of the process.
    KeysInMemory,
    /// The payment is acknowledged before anything is committed.
    Later,
}

impl Durability {
    /// That of a mode of Paylab's own service. Requests without a key are booked in one transaction in every mode but `AckThenApply`.
    #[must_use]
    pub const fn of(dedup: Dedup, key: KeyPolicy) -> Self {
        match (dedup, key) {
            (Dedup::AckThenApply, _) => Self::Later,
            (_, KeyPolicy::None) => Self::Atomic,
            (Dedup::None | Dedup::UniqueKey | Dedup::Replay | Dedup::CheckThenInsert, _) => Self::Atomic,
            (Dedup::Memory, _) => Self::KeysInMemory,
            (Dedup::KeyThenApply, _) => Self::KeyFirst,
            (Dedup::ApplyThenKey, _) => Self::EntryFirst,
        }
    }

    /// Whether a death while the service works leaves the same, whether or not the first step was committed.
    const fn first_step_is_invisible(self) -> bool {
        matches!(self, Self::Atomic | Self::KeysInMemory)
    }
}

/// Why the result of the kills of a plan depends on timing; `None`: there are none, or it is certain.
#[must_use]
pub fn kills_depend_on_timing(plan: &Plan) -> Option<&'static str> {
    let kills: Vec<_> = plan.kills().collect();
    if kills.is_empty() {
        return None;
    }
    if !is_one_at_a_time(plan) {
        return Some("which other requests are in flight when a fault kills the service (client.concurrency above 1)");
    }
    let durability = plan.target.durability(&plan.client);
    match durability {
        Durability::Later => return Some("what the service has acknowledged and not booked when a fault kills it"),
        Durability::KeysInMemory if plan.client.asks_later() => {
            return Some("which keys the service has forgotten when it is asked again");
        }
        Durability::Atomic | Durability::KeyFirst | Durability::EntryFirst | Durability::KeysInMemory => {}
    }
    let is_uncertain = |kill: &Kill| {
        let processing_time = plan.target.processing_time();
        let is_within = kill.is_before_the_end_of(processing_time)
            && (kill.is_after_the_beginning() || durability.first_step_is_invisible());
        kill.death() == Death::InProcessing && !is_within
    };
    if kills.iter().any(is_uncertain) {
        return Some(
            "whether the service books before it dies (kill at AfterRequest: see kill.after and service.processingTime)",
        );
    }
    None
}

/// Whether nothing else is at the service while one request is.
fn is_one_at_a_time(plan: &Plan) -> bool {
    let ClientPlan { concurrency, workers, .. } = plan.client;
    concurrency == 1 && workers == 1 && plan.overlap() == crate::targets::Overlap::Never
}
