//! The totals of a run that are compared: measured, predicted for the seed, expected in theory.

use crate::{
    judge::report::Report,
    plan::Plan,
    prediction::{Prediction, repeats_are_exact},
    theory::{Estimate, Theory},
};

/// One total.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Total {
    /// Attempts made.
    Attempts,
    /// Entries of the ledger.
    Entries,
    /// Payments the client saw acknowledged.
    Acknowledged,
    /// Payments acknowledged as repeats.
    Repeats,
    /// Payments with two entries or more.
    Duplicated,
    /// Payments without an entry.
    Lost,
    /// Payments booked though the client saw no acknowledgement.
    BookedUnknown,
}

impl Total {
    /// Every total, in the order in which they are shown.
    pub const ALL: [Self; 7] = [
        Self::Attempts,
        Self::Entries,
        Self::Acknowledged,
        Self::Repeats,
        Self::Duplicated,
        Self::Lost,
        Self::BookedUnknown,
    ];

    /// Its name as a field.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::Attempts => "attempts",
            Self::Entries => "entries",
            Self::Acknowledged => "acknowledged",
            Self::Repeats => "repeats",
            Self::Duplicated => "duplicated",
            Self::Lost => "lost",
            Self::BookedUnknown => "bookedUnknown",
        }
    }

    /// Its name in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Attempts => "attempts",
            Self::Entries => "ledger entries",
            Self::Acknowledged => "payments acknowledged",
            Self::Repeats => "acknowledged as repeats",
            Self::Duplicated => "payments duplicated",
            Self::Lost => "payments lost",
            Self::BookedUnknown => "booked, not acknowledged",
        }
    }

    /// Its value in the evidence; `None`: the evidence does not say.
    #[must_use]
    pub fn measured(self, report: &Report) -> Option<u64> {
        match self {
            Self::Attempts => Some(report.attempts.reached()),
            Self::Entries => report.entries(),
            Self::Acknowledged => Some(report.payments.acknowledged),
            Self::Repeats => Some(report.attempts.repeats),
            Self::Duplicated => report.ledger.as_ref().map(|ledger| ledger.duplicated),
            Self::Lost => report.lost(),
            Self::BookedUnknown => report.ledger.as_ref().map(|ledger| ledger.booked_unknown),
        }
    }

    /// Its predicted value for the seed.
    #[must_use]
    pub const fn predicted(self, prediction: &Prediction) -> u64 {
        match self {
            Self::Attempts => prediction.attempts,
            Self::Entries => prediction.entries,
            Self::Acknowledged => prediction.acknowledged,
            Self::Repeats => prediction.repeats,
            Self::Duplicated => prediction.duplicated,
            Self::Lost => prediction.lost,
            Self::BookedUnknown => prediction.booked_unknown,
        }
    }

    /// Its expected value over all seeds; `None`: the plan leaves it to timing.
    #[must_use]
    pub fn expected(self, plan: &Plan, theory: &Theory) -> Option<Estimate> {
        Some(match self {
            Self::Attempts => theory.attempts,
            Self::Entries => theory.entries,
            Self::Acknowledged => theory.acknowledged,
            Self::Repeats if !repeats_are_exact(plan) => return None,
            Self::Repeats => theory.repeats,
            Self::Duplicated => theory.duplicated,
            Self::Lost => theory.lost,
            Self::BookedUnknown => theory.booked_unknown,
        })
    }
}
