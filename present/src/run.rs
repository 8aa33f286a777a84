//! A run as presenters show it: its outcome, and for those who want to know what happened, its chronicle.

use paylab_core::{
    chronicle::{Chronicle, story::PaymentStory},
    judge::anomaly::Anomaly,
    outcome::{Outcome, comparison::Comparison},
};

/// A run as it is presented.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// What it has come to.
    pub outcome: &'a Outcome,
    /// What happened.
    pub chronicle: &'a Chronicle,
    /// The experiment as it was run.
    pub yaml: &'a str,
    /// What has changed since an earlier run; `None`: it is not compared with one.
    pub comparison: Option<&'a Comparison>,
}

impl<'a> Run<'a> {
    /// The stories that show an anomaly, the simplest first: with as few attempts as possible.
    pub(crate) fn showing(&self, anomaly: Anomaly) -> Vec<&'a PaymentStory> {
        let mut showing: Vec<_> =
            self.chronicle.stories.iter().filter(|story| story.anomalies.contains(&anomaly)).collect();
        // A story whose entries are known to belong to its requests explains more.
        showing.sort_by_key(|story| (story.bookings().is_empty(), story.attempts.len(), story.payment));
        showing
    }

    /// The stories that prove the verdict, the simplest of each anomaly first, at most so many.
    pub(crate) fn proofs(&self, most: usize) -> Vec<&'a PaymentStory> {
        let by_anomaly: Vec<_> = self.outcome.broken.iter().map(|anomaly| self.showing(*anomaly)).collect();
        let longest = by_anomaly.iter().map(Vec::len).max().unwrap_or(0);
        let mut proofs: Vec<&PaymentStory> = Vec::new();
        for place in 0..longest {
            for story in by_anomaly.iter().filter_map(|stories| stories.get(place)) {
                if proofs.len() < most && !proofs.iter().any(|proof| proof.payment == story.payment) {
                    proofs.push(story);
                }
            }
        }
        proofs
    }

    /// The payment that was put to the test most often and held: it was asked for most often after it had been booked.
    pub(crate) fn hardest(&self) -> Option<&'a PaymentStory> {
        let held =
            self.chronicle.stories.iter().filter(|story| story.anomalies.is_empty() && !story.attempts.is_empty());
        let arrived = |story: &PaymentStory| story.attempts.iter().filter(|attempt| attempt.arrived()).count();
        held.max_by_key(|story| {
            (arrived(story), std::cmp::Reverse(story.attempts.len()), std::cmp::Reverse(story.payment))
        })
    }
}
