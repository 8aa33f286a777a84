//! The chronicle of a run: what happened to its attempts and what became of its payments, as the three witnesses tell it. It explains a
//! verdict to people and never decides one: [`crate::judge`] does not know it.
//!
//! [`matrix`] and [`histogram`] count all payments; [`story`] tells some of them attempt by attempt.

pub mod ending;
pub mod fate;
pub mod histogram;
pub mod matrix;
pub mod story;

use serde::{Deserialize, Serialize};

use crate::chronicle::{histogram::Histograms, matrix::Matrix, story::PaymentStory};

/// At most this many payments that have an anomaly are told.
pub const BROKEN_KEPT: usize = 1000;
/// At most this many attempts are told of all payments together.
pub const ATTEMPTS_KEPT: usize = 100_000;

/// What happened to attempts, and what became of payments.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Chronicle {
    /// What is counted over all payments.
    #[serde(flatten)]
    pub counts: Counts,
    /// Some of the payments, attempt by attempt, in ascending order.
    #[serde(skip)]
    pub stories: Vec<PaymentStory>,
}

/// What a chronicle counts over all payments.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// What happened to attempts against what became of their payments; `None`: record or ledger were not read whole.
    pub matrix: Option<Matrix>,
    /// How many payments had how many attempts and entries.
    pub histograms: Histograms,
    /// Payments with an anomaly that are not told, because there are too many.
    pub broken_left_out: u64,
    /// Attempts without the client's times, because there were too many to note all of them.
    pub attempts_untimed: u64,
    /// Why the record or the ledger could not be read again to tell the payments; `None`: they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
}

impl Chronicle {
    /// Adds the chronicle of another share of the same run.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        let Self { counts, stories } = other;
        let Counts { matrix, histograms, broken_left_out, attempts_untimed, unread } = counts;
        self.counts.matrix = self.counts.matrix.zip(matrix).map(|(this, other)| this.merge(other));
        self.counts.histograms = self.counts.histograms.merge(histograms);
        self.counts.broken_left_out += broken_left_out;
        self.counts.attempts_untimed += attempts_untimed;
        self.counts.unread = self.counts.unread.or(unread);
        self.stories.extend(stories);
        self.stories.sort_by_key(|story| story.payment);
        self
    }

    /// The story of a payment; `None`: it is not told.
    #[must_use]
    pub fn story(&self, payment: u64) -> Option<&PaymentStory> {
        self.stories.iter().find(|story| story.payment == payment)
    }
}
