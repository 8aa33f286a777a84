//! How many payments had how many attempts, and how many entries.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Payments with this many attempts or entries, or more, are counted together.
pub const LAST_BIN: u64 = 30;

/// The histograms of attempts and entries.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Histograms {
    /// Payments by the number of their attempts.
    pub attempts: BTreeMap<u64, u64>,
    /// Payments by the number of their entries; empty: the ledger was not read whole.
    pub entries: BTreeMap<u64, u64>,
}

impl Histograms {
    /// Counts a payment; `entries` is `None` if the ledger was not read whole.
    pub fn count(&mut self, attempts: u64, entries: Option<u64>) {
        *self.attempts.entry(attempts.min(LAST_BIN)).or_default() += 1;
        if let Some(entries) = entries {
            *self.entries.entry(entries.min(LAST_BIN)).or_default() += 1;
        }
    }

    /// The histograms of this share and another one.
    #[must_use]
    pub fn merge(mut self, Self { attempts, entries }: Self) -> Self {
        for (into, from) in [(&mut self.attempts, attempts), (&mut self.entries, entries)] {
            from.into_iter().for_each(|(bin, payments)| *into.entry(bin).or_default() += payments);
        }
        self
    }
}
