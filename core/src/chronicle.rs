//! The chronicle of a run: what happened to its attempts and what became of its payments, as the three witnesses tell it. It explains a
//! verdict to people and never decides one: [`crate::judge`] does not know it.
//!
//! [`matrix`] and [`histogram`] count all payments; [`story`] tells some of them attempt by attempt.

pub mod ending;
pub mod fate;
pub mod histogram;
pub mod matrix;
pub mod story;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    chronicle::{histogram::Histograms, matrix::Matrix, story::PaymentStory},
    judge::anomaly::Anomaly,
};

/// At most this many payments that have an anomaly are told.
pub const BROKEN_KEPT: usize = 1000;
/// At most this many attempts are told of all payments together.
pub const ATTEMPTS_KEPT: usize = 100_000;
/// So many stories of each anomaly are kept before all others.
const SIMPLEST: usize = 8;

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

    /// Leaves at most so many stories, those that are read first: of each anomaly the simplest, then those that the matrix names.
    pub fn keep_stories(&mut self, most: usize) {
        if self.stories.len() <= most {
            return;
        }
        let named: BTreeSet<u64> =
            self.counts.matrix.as_ref().map(Matrix::named).unwrap_or_default().into_iter().collect();
        let mut stories = std::mem::take(&mut self.stories);
        stories.sort_by_key(|story| (story.attempts.len(), story.payment));
        let (mut shown, mut first) = (BTreeMap::<Anomaly, usize>::new(), BTreeSet::new());
        for story in &stories {
            for anomaly in &story.anomalies {
                let shown = shown.entry(*anomaly).or_default();
                *shown += 1;
                if *shown <= SIMPLEST {
                    first.insert(story.payment);
                }
            }
        }
        stories.sort_by_key(|story| (!first.contains(&story.payment), !named.contains(&story.payment)));
        let left_out = stories.split_off(most);
        self.counts.broken_left_out += left_out.iter().filter(|story| !story.anomalies.is_empty()).count() as u64;
        stories.sort_by_key(|story| story.payment);
        self.stories = stories;
    }

    /// The story of a payment; `None`: it is not told.
    #[must_use]
    pub fn story(&self, payment: u64) -> Option<&PaymentStory> {
        self.stories.iter().find(|story| story.payment == payment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chronicle::{ending::PaymentEnd, fate::Fates, story::AttemptStory},
        witness::attempt::{Belief, Ending},
    };

    fn story(payment: u64, attempts: u32, anomalies: &[Anomaly]) -> PaymentStory {
        let attempt = |attempt| AttemptStory { attempt, client: None, proxy: None, proxy_at_us: None };
        PaymentStory {
            payment,
            belief: Belief::Acknowledged,
            ending: Ending::Acknowledged,
            anomalies: anomalies.to_vec(),
            attempts: (1..=attempts).map(attempt).collect(),
            entries: None,
        }
    }

    #[test]
    fn the_simplest_of_each_anomaly_are_kept_first_and_what_is_left_out_is_counted() {
        let mut matrix = Matrix::default();
        matrix.count(90, PaymentEnd::BookedOnce, Fates::default());
        let mut chronicle =
            Chronicle { counts: Counts { matrix: Some(matrix), ..Counts::default() }, ..Chronicle::default() };
        let twice = |payment| story(payment, 100 - u32::try_from(payment).unwrap(), &[Anomaly::Duplicated]);
        chronicle.stories.extend((0..20).map(twice));
        chronicle.stories.extend([story(80, 1, &[]), story(90, 1, &[])]);
        let kept = |chronicle: &Chronicle| chronicle.stories.iter().map(|story| story.payment).collect::<Vec<_>>();
        let before = chronicle.clone();
        chronicle.keep_stories(22);
        assert_eq!(chronicle, before);
        chronicle.keep_stories(9);
        assert_eq!(kept(&chronicle), [12, 13, 14, 15, 16, 17, 18, 19, 90]);
        assert_eq!(chronicle.counts.broken_left_out, 12);
        chronicle.keep_stories(0);
        assert_eq!((chronicle.stories.len(), chronicle.counts.broken_left_out), (0, 20));
    }
}
