//! The table of a gauntlet: what became of each subject under each nemesis, in every form. What a cell says was decided before; this module
//! and its children only show it.

pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod text;

use std::{fmt, time::Duration};

use paylab_core::{
    exposures::ExposureKind,
    judge::anomaly::Anomaly,
    outcome::{Outcome, exposure::bug_rate_bound},
};
use paylab_resource::nemesis::{Expected, Nemesis};

use crate::sentence;

/// A whole gauntlet.
#[derive(Debug)]
pub struct Gauntlet {
    /// Its name.
    pub name: String,
    /// What its paths are claimed to do.
    pub claim: &'static str,
    /// The nemeses, one for each column.
    pub nemeses: Vec<&'static Nemesis>,
    /// The subjects.
    pub rows: Vec<Row>,
    /// The command that runs it again, without the choice of nemeses.
    pub command: String,
    /// The smallest run that shows the first broken nemesis of the first row; `None`: none was looked for.
    pub smallest: Option<Smallest>,
    /// The time from the start of the first cell to the end of the last.
    pub elapsed: Duration,
}

/// A subject under every nemesis.
#[derive(Debug)]
pub struct Row {
    /// Its name.
    pub subject: String,
    /// One cell for each nemesis.
    pub cells: Vec<Cell>,
}

/// A subject under one nemesis.
#[derive(Debug)]
pub struct Cell {
    /// The nemesis.
    pub nemesis: &'static Nemesis,
    /// What was found.
    pub finding: Finding,
    /// What was expected.
    pub expected: Expected,
    /// Whether it is what was expected; `None`: nothing is known.
    pub as_expected: Option<bool>,
    /// The run; `None`: there was none.
    pub outcome: Option<Box<Outcome>>,
}

/// What was found in a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The claim held, and so often it was put to the test.
    Holds {
        /// The chances to break the claim.
        exposures: u64,
    },
    /// The same, of a service that is broken: the nemesis cannot tell it from a correct one.
    Blind {
        /// The chances to break the claim.
        exposures: u64,
    },
    /// The claim is broken.
    Broken {
        /// The worst anomaly that breaks it.
        anomaly: Anomaly,
        /// How many payments have it.
        payments: u64,
    },
    /// Nothing is known, and why.
    Unknown {
        /// The reason.
        reason: String,
    },
    /// The nemesis cannot strike this subject, and why.
    Impossible {
        /// The reason.
        reason: String,
    },
}

/// The smallest run that shows a violation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Smallest {
    /// It is in a file.
    Found {
        /// The file, as a shell reads it, with the options that the run needs.
        command: String,
        /// Its payments.
        payments: u64,
        /// The attempts that it takes.
        attempts: u64,
        /// How many of its last runs have shown the violation, and of how many.
        shown: (u32, u32),
        /// Why the search has ended early; `None`: nothing that is left can be made smaller.
        ended_early: Option<String>,
    },
    /// There is none, and why.
    Missing {
        /// The reason.
        reason: String,
    },
}

impl Gauntlet {
    /// Every cell.
    pub fn cells(&self) -> impl Iterator<Item = (&Row, &Cell)> {
        self.rows.iter().flat_map(|row| row.cells.iter().map(move |cell| (row, cell)))
    }

    /// What it has come to, in one or two sentences.
    #[must_use]
    pub fn conclusion(&self) -> String {
        let smallest = self.smallest.as_ref().map(|smallest| format!(" {smallest}")).unwrap_or_default();
        format!("{}{smallest}", self.count())
    }

    fn count(&self) -> String {
        let all = self.cells().count();
        let unexpected = self.cells().filter(|(_, cell)| cell.as_expected == Some(false)).count();
        let unknown = self.cells().filter(|(_, cell)| cell.as_expected.is_none()).count();
        let unknown = match unknown {
            0 => String::new(),
            1 => " Of 1 nothing is known.".to_owned(),
            several => format!(" Of {several} nothing is known."),
        };
        if self.rows.len() == 1 && self.rows[0].cells.iter().all(|cell| cell.expected == Expected::Holds) {
            return self.count_of_one(unexpected, &unknown);
        }
        match unexpected {
            0 => format!("{} of {all} cells are as expected.{unknown}", all - self.unknown()),
            1 => format!("1 of {all} cells is not as expected.{unknown}"),
            several => format!("{several} of {all} cells are not as expected.{unknown}"),
        }
    }

    /// What became of a service of a user's, of which only that is said which is known.
    fn count_of_one(&self, broken: usize, unknown: &str) -> String {
        let is_known = |finding: &Finding| !matches!(finding, Finding::Impossible { .. } | Finding::Unknown { .. });
        let known = self.cells().filter(|(_, cell)| is_known(&cell.finding)).count();
        let claim = self.claim;
        let known = match (broken, known) {
            (0, 0) if self.unknown() == 0 => "No nemesis can strike here.".to_owned(),
            (0, 0) => String::new(),
            (0, 1) => format!("The nemesis does not break {claim}."),
            (0, _) => format!("None of {known} nemeses breaks {claim}."),
            (1, 1) => format!("The nemesis breaks {claim}."),
            (1, _) => format!("1 of {known} nemeses breaks {claim}."),
            (_, _) => format!("{broken} of {known} nemeses break {claim}."),
        };
        format!("{known}{unknown}").trim_start().to_owned()
    }

    fn unknown(&self) -> usize {
        self.cells().filter(|(_, cell)| cell.as_expected.is_none()).count()
    }
}

impl Cell {
    /// More than fits the table: the verdict, the bound, or why nothing is known.
    #[must_use]
    pub fn detail(&self) -> String {
        match (&self.finding, &self.outcome) {
            (Finding::Holds { exposures } | Finding::Blind { exposures }, Some(outcome)) => {
                let kind = self.kind(outcome);
                let [one, several] = kind.words();
                let words = if *exposures == 1 { one } else { several };
                let bound = sentence::percent(bug_rate_bound(*exposures));
                format!("{exposures} {words}, none of them harmful (bug rate < {bound} % of these, 95 %)")
            }
            (Finding::Broken { .. }, Some(outcome)) => sentence::verdict(outcome),
            (Finding::Unknown { reason } | Finding::Impossible { reason }, _) => reason.clone(),
            (Finding::Holds { .. } | Finding::Blind { .. } | Finding::Broken { .. }, None) => String::new(),
        }
    }

    fn kind(&self, outcome: &Outcome) -> ExposureKind {
        let claimed = ExposureKind::of(outcome.plan.claim, &outcome.plan.client);
        self.nemesis.exposure().unwrap_or(claimed)
    }

    /// The bound of the bug rate that it proves; `None`: it proves none.
    #[must_use]
    pub fn bound(&self) -> Option<f64> {
        match self.finding {
            Finding::Holds { exposures } | Finding::Blind { exposures } => Some(bug_rate_bound(exposures)),
            Finding::Broken { .. } | Finding::Unknown { .. } | Finding::Impossible { .. } => None,
        }
    }

    /// The class of its colour in pages.
    #[must_use]
    pub const fn class(&self) -> &'static str {
        match self.finding {
            Finding::Holds { .. } => "good",
            Finding::Broken { .. } => "bad",
            Finding::Blind { .. } | Finding::Unknown { .. } => "open",
            Finding::Impossible { .. } => "none",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Holds { exposures } => format!("holds {exposures}"),
            Self::Blind { exposures } => format!("blind {exposures}"),
            Self::Broken { anomaly, payments: 0 } => class_word(*anomaly).to_owned(),
            Self::Broken { anomaly, payments } => format!("{} {payments}", class_word(*anomaly)),
            Self::Unknown { .. } => "?".to_owned(),
            Self::Impossible { .. } => "-".to_owned(),
        };
        f.pad(&text)
    }
}

impl fmt::Display for Smallest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found { command, payments, attempts, shown: (shown, of), ended_early } => {
                let payments = crate::counting::counted(*payments, "payment");
                let attempts = crate::counting::counted(*attempts, "attempt");
                let rate = if shown == of { String::new() } else { format!(", seen in {shown} of {of} runs") };
                let early = ended_early.as_ref().map(|reason| format!("; the search has ended early: {reason}"));
                let early = early.unwrap_or_default();
                write!(f, "Smallest run that shows the first: {command} ({payments}, {attempts}{rate}{early})")
            }
            Self::Missing { reason } => write!(f, "No smaller run that shows the first was written: {reason}"),
        }
    }
}

/// An anomaly as one or two words of a table.
#[must_use]
pub const fn class_word(anomaly: Anomaly) -> &'static str {
    match anomaly {
        Anomaly::AcknowledgedButLost => "ACKED, LOST",
        Anomaly::AnsweredButLost => "ANSWERED, LOST",
        Anomaly::RejectedButBooked => "REFUSED, PAID",
        Anomaly::Shortfall => "TOO LITTLE",
        Anomaly::Surplus => "TOO MUCH",
        Anomaly::Phantom => "PHANTOM",
        Anomaly::Mismatched => "OTHER AMOUNT",
        Anomaly::SelfDuplicated => "TWICE BY ITSELF",
        Anomaly::Duplicated => "TWICE",
        Anomaly::UnstableReplay => "TWO NAMES",
        Anomaly::RefusedRepeat => "REFUSED",
        Anomaly::Stuck => "STUCK",
        Anomaly::Lost => "LOST",
        Anomaly::Refused => "NOT TAKEN",
    }
}

/// What an expectation is called.
#[must_use]
pub const fn expected_word(expected: Expected) -> &'static str {
    match expected {
        Expected::Holds => "holds",
        Expected::Blind => "blind",
        Expected::Broken(anomaly) => class_word(anomaly),
    }
}
