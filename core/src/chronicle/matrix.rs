//! The fate matrix: what happened to attempts against what became of their payments.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::chronicle::{
    ending::PaymentEnd,
    fate::{AttemptFate, Fates},
};

/// At most this many payments are named in each cell.
pub const CELL_NAMED: usize = 12;

/// The fate matrix. A payment is counted in one row, and there in the column of every fate that one of its attempts has met.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Matrix {
    /// The rows that have a payment.
    pub rows: BTreeMap<PaymentEnd, Row>,
    /// How many attempts have met each fate.
    pub attempts: BTreeMap<AttemptFate, u64>,
}

/// The payments that came to one end.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// All of them.
    pub all: Cell,
    /// Those of which an attempt has met a fate.
    pub cells: BTreeMap<AttemptFate, Cell>,
}

/// Some payments.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cell {
    /// How many.
    pub payments: u64,
    /// The first of them, at most [`CELL_NAMED`].
    pub first: Vec<u64>,
}

impl Matrix {
    /// Counts a payment. Payments are counted in ascending order.
    pub fn count(&mut self, payment: u64, end: PaymentEnd, fates: Fates) {
        let row = self.rows.entry(end).or_default();
        row.all.count(payment);
        fates.iter().for_each(|fate| row.cells.entry(fate).or_default().count(payment));
    }

    /// Every payment that a cell names, in ascending order.
    #[must_use]
    pub fn named(&self) -> Vec<u64> {
        let cells = self.rows.values().flat_map(|row| row.cells.values().chain([&row.all]));
        let mut named: Vec<_> = cells.flat_map(|cell| &cell.first).copied().collect();
        named.sort_unstable();
        named.dedup();
        named
    }

    /// The matrix of this share and another one.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        for (end, Row { all, cells }) in other.rows {
            let row = self.rows.entry(end).or_default();
            row.all.merge(all);
            cells.into_iter().for_each(|(fate, cell)| row.cells.entry(fate).or_default().merge(cell));
        }
        for (fate, attempts) in other.attempts {
            *self.attempts.entry(fate).or_default() += attempts;
        }
        self
    }
}

impl Cell {
    fn count(&mut self, payment: u64) {
        self.payments += 1;
        if self.first.len() < CELL_NAMED {
            self.first.push(payment);
        }
    }

    fn merge(&mut self, Self { payments, first }: Self) {
        self.payments += payments;
        self.first.extend(first);
        self.first.sort_unstable();
        self.first.truncate(CELL_NAMED);
    }
}
