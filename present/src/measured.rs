//! What happened to one payment as a sequence diagram in text: with times, statuses and entries, and beside it what was predicted.

use std::fmt::{self, Display, Formatter};

use paylab_core::{
    chronicle::story::PaymentStory,
    payment::PaymentId,
    plan::Plan,
    prediction::{PredictedAttempt, depends_on_timing, walk},
    targets::handling::Handling,
    witness::attempt::Belief,
};

use crate::{
    counting::{counted, entries},
    guilt,
    sequence::{self, Lifeline, Sequence, StepKind, belief, ms},
};

/// If there are more attempts than this, those in the middle are left out.
const ATTEMPTS_SHOWN: usize = 40;
/// The columns of the four lifelines.
const COLUMNS: [usize; 4] = [0, 19, 39, 57];
/// Where the prediction begins.
const PREDICTED_AT: usize = 62;
/// The shortest part of an arrow beside its label.
const SHAFT: usize = 2;

/// What happened to one payment.
#[derive(Debug, Clone, Copy)]
pub struct Measured<'a> {
    /// What was to be done.
    pub plan: &'a Plan,
    /// What happened.
    pub story: &'a PaymentStory,
}

impl Display for Measured<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { plan, story } = self;
        let mut predicted = Vec::new();
        walk(plan, PaymentId(story.payment), |attempt| predicted.push(*attempt));
        let attempts = counted(story.attempts.len() as u64, "attempt");
        let booked =
            story.entries.as_ref().map_or_else(|| "ledger not read".to_owned(), |list| entries(list.len() as u64));
        let wrong: Vec<_> = story.anomalies.iter().map(|anomaly| format!("{anomaly:?}")).collect();
        let wrong = if wrong.is_empty() { String::new() } else { format!(": {}", wrong.join(", ")) };
        writeln!(f, "payment {}   {attempts}, {booked}{wrong}   as it was measured\n", story.payment)?;
        let heads = [(0, "client"), (19, "proxy"), (39, "service"), (57, "ledger"), (PREDICTED_AT + 6, "predicted")];
        let mut head = String::new();
        for (column, name) in heads {
            let place = if column == 0 { 0 } else { column - 3 };
            head = format!("{head:<place$}{name}");
        }
        writeln!(f, "          ms   {head}")?;
        let sequences = sequence::of(story);
        let hidden = sequences.len().saturating_sub(ATTEMPTS_SHOWN);
        for (index, drawn) in sequences.iter().enumerate() {
            if hidden > 0 && index == ATTEMPTS_SHOWN / 2 {
                writeln!(f, "  ...   {}", counted(hidden as u64, "more attempt"))?;
            }
            if hidden == 0 || index < ATTEMPTS_SHOWN / 2 || index >= ATTEMPTS_SHOWN / 2 + hidden {
                let expected = predicted.iter().find(|attempt| attempt.id.attempt == drawn.attempt);
                write_attempt(f, drawn, &compared(plan, drawn, expected))?;
            }
        }
        self.write_end(f, predicted.len())
    }
}

impl Measured<'_> {
    fn write_end(&self, f: &mut Formatter<'_>, predicted: usize) -> fmt::Result {
        let Self { plan, story } = self;
        if predicted > story.attempts.len() {
            let more = counted((predicted - story.attempts.len()) as u64, "more attempt");
            writeln!(f, "  predicted: {more}, which did not take place")?;
        }
        let ids: Vec<_> = story.entries.iter().flatten().map(|entry| entry.id.to_string()).collect();
        if !ids.is_empty() && story.bookings().is_empty() {
            writeln!(f, "  entries {}: which request has booked which is not known", ids.join(", "))?;
        }
        writeln!(f, "  {}", guilt::tell(story, plan))?;
        write!(f, "  the client believes: {}   the ledger says: {}", believed(story.belief), ledger_says(story))?;
        match depends_on_timing(plan) {
            Some(reason) => {
                write!(f, "\n  what is predicted may differ from what happens, because it depends on {reason}")
            }
            None => Ok(()),
        }
    }
}

/// What the client believes of a payment.
pub(crate) const fn believed(belief: Belief) -> &'static str {
    match belief {
        Belief::Acknowledged => "it is paid",
        Belief::Rejected => "it is certainly not paid",
        Belief::Untried | Belief::Unknown => "nothing: it may be paid or not",
    }
}

/// What the ledger says of a payment.
pub(crate) fn ledger_says(story: &PaymentStory) -> &'static str {
    match story.entries.as_ref().map(Vec::len) {
        None => "nothing: it was not read",
        Some(0) => "not paid",
        Some(1) => "paid once",
        Some(2) => "paid twice",
        Some(_) => "paid more than twice",
    }
}

/// What was predicted for an attempt, as far as it differs from what happened.
fn compared(plan: &Plan, drawn: &Sequence, predicted: Option<&PredictedAttempt>) -> String {
    let Some(predicted) = predicted else { return "no such attempt".to_owned() };
    let fault = plan.sampler.effective(&predicted.draw).map(|fault| fault.name.clone());
    let books = matches!(predicted.handling, Handling::Booked(_));
    let believes = belief(predicted.outcome);
    if fault == drawn.fault && books == drawn.entry.is_some() && believes == drawn.belief {
        return "the same".to_owned();
    }
    let booked = match predicted.handling {
        Handling::NotReceived => "does not arrive",
        Handling::Interrupted => "not booked, because the service dies",
        Handling::Booked(_) => "booked",
        Handling::Repeat(_) => "a repeat",
        Handling::Refused(_) => "refused",
    };
    format!("{}{booked}, {believes}", fault.map(|fault| format!("{fault}, ")).unwrap_or_default())
}

fn write_attempt(f: &mut Formatter<'_>, drawn: &Sequence, predicted: &str) -> fmt::Result {
    for (index, step) in drawn.steps.iter().enumerate() {
        let number = if index == 0 { drawn.attempt.to_string() } else { String::new() };
        let time = step.at_us.map(ms).unwrap_or_default();
        let line = line(&step.kind);
        let line = if index == 0 { format!("{line:<PREDICTED_AT$}   {predicted}") } else { line };
        writeln!(f, "  {:<4}{time:>8}   {}", number, line.trim_end())?;
    }
    Ok(())
}

/// A step as a line of text.
fn line(step: &StepKind) -> String {
    match step {
        StepKind::Message { from, to, label } => arrow(*from, *to, label, ""),
        StepKind::Lost { from, to, label, cause } => arrow(*from, *to, label, cause),
        StepKind::Reset { from, to } => arrow(*from, *to, "RST", ""),
        StepKind::Entry(entry) => arrow(Lifeline::Service, Lifeline::Ledger, &format!("entry {}", entry.id), ""),
        StepKind::Note { at, text } => format!("{:>column$}: {text}", "", column = COLUMNS[*at as usize]),
    }
}

/// An arrow between two lifelines; with a cause it does not arrive.
fn arrow(from: Lifeline, to: Lifeline, label: &str, cause: &str) -> String {
    let (left, right) = (from.min(to), from.max(to));
    let (start, end) = (COLUMNS[left as usize], COLUMNS[right as usize]);
    let width = (end - start - 1).saturating_sub(1);
    let shaft = width.saturating_sub(label.chars().count() + 2).max(2 * SHAFT);
    let (before, after) = (shaft / 2, shaft - shaft / 2);
    let body = format!("{} {label} {}", "-".repeat(before), "-".repeat(after));
    let drawn = match (from < to, cause.is_empty()) {
        (true, true) => format!("|{body}>|"),
        (true, false) => format!("|{body}>x {cause}"),
        (false, true) => format!("|<{body}|"),
        (false, false) => format!("x<{body}| {cause}"),
    };
    format!("{:>start$}{drawn}", "")
}
