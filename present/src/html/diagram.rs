//! The sequence diagram of a payment as SVG: where each line, label and mark is.

use std::collections::BTreeSet;

use crate::{
    counting::counted,
    sequence::{Lifeline, Sequence, Step, StepKind, ms},
};

/// At most this many attempts are drawn.
pub(super) const ATTEMPTS_SHOWN: usize = 12;
/// The places of the four lifelines, in pixels.
const COLUMNS: [u32; 4] = [150, 372, 594, 816];
/// The height of a step.
const STEP: u32 = 30;
/// The space between two attempts.
const GAP: u32 = 14;
/// The height of the heads.
const HEAD: u32 = 44;
/// How far before a lifeline a message ends that is lost.
const LOST_BEFORE: u32 = 34;

/// A diagram.
pub(super) struct DiagramView {
    pub(super) title: String,
    pub(super) height: u32,
    pub(super) lifelines: Vec<LifelineView>,
    pub(super) attempts: Vec<AttemptView>,
}

/// A lifeline.
pub(super) struct LifelineView {
    pub(super) x: u32,
    pub(super) name: &'static str,
}

/// An attempt.
pub(super) struct AttemptView {
    /// Empty for attempts that are left out.
    pub(super) number: String,
    pub(super) y: u32,
    pub(super) height: u32,
    pub(super) guilty: bool,
    pub(super) steps: Vec<StepView>,
    /// What is said in place of attempts that are left out.
    pub(super) left_out: Option<String>,
}

/// A step.
pub(super) struct StepView {
    pub(super) y: u32,
    pub(super) text_y: u32,
    pub(super) time: Option<String>,
    pub(super) class: &'static str,
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) label_x: u32,
    pub(super) label: String,
    /// Where the cross of a lost message is, and its cause beside it.
    pub(super) lost: Option<LostView>,
    pub(super) form: Form,
}

/// What a step is drawn as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Arrow,
    Entry,
    Note,
}

/// The end of a lost message.
pub(super) struct LostView {
    pub(super) x: u32,
    pub(super) cause_x: u32,
    pub(super) anchor: &'static str,
    pub(super) cause: String,
}

pub(super) fn view(payment: u64, sequences: &[Sequence], guilty: &BTreeSet<u32>) -> DiagramView {
    let shown = shown(sequences, guilty);
    let mut y = HEAD;
    let mut attempts = Vec::new();
    let mut skipped = 0;
    for (sequence, is_shown) in sequences.iter().zip(shown) {
        if !is_shown {
            skipped += 1;
            continue;
        }
        if skipped > 0 {
            attempts.push(left_out(y, skipped));
            y += STEP + GAP;
            skipped = 0;
        }
        let attempt = attempt(sequence, y, guilty.contains(&sequence.attempt));
        y += attempt.height + GAP;
        attempts.push(attempt);
    }
    if skipped > 0 {
        attempts.push(left_out(y, skipped));
        y += STEP + GAP;
    }
    let names = ["client", "proxy", "service", "ledger"];
    DiagramView {
        title: format!("Sequence diagram of payment {payment}; the table below says the same in words"),
        height: y,
        lifelines: COLUMNS.into_iter().zip(names).map(|(x, name)| LifelineView { x, name }).collect(),
        attempts,
    }
}

/// Which attempts are drawn: the guilty ones, then the first and the last.
fn shown(sequences: &[Sequence], guilty: &BTreeSet<u32>) -> Vec<bool> {
    let mut shown: Vec<_> = sequences.iter().map(|sequence| guilty.contains(&sequence.attempt)).collect();
    let mut left = ATTEMPTS_SHOWN.saturating_sub(shown.iter().filter(|is_shown| **is_shown).count());
    let ends = (0..sequences.len()).flat_map(|place| [place, sequences.len() - 1 - place]);
    for place in ends {
        if left > 0 && !shown[place] {
            shown[place] = true;
            left -= 1;
        }
    }
    // There may be more guilty attempts than can be drawn.
    let mut drawn = 0;
    for is_shown in &mut shown {
        drawn += usize::from(*is_shown);
        *is_shown &= drawn <= ATTEMPTS_SHOWN;
    }
    shown
}

fn left_out(y: u32, count: u64) -> AttemptView {
    let text = format!("{} not drawn", counted(count, "attempt"));
    AttemptView { number: String::new(), y, height: STEP, guilty: false, steps: Vec::new(), left_out: Some(text) }
}

fn attempt(sequence: &Sequence, y: u32, guilty: bool) -> AttemptView {
    let rows = u32::try_from(sequence.steps.len()).unwrap_or(1).max(1);
    let steps = (0..).zip(&sequence.steps).map(|(row, drawn)| step(drawn, y + row * STEP + STEP / 2 + 6));
    AttemptView {
        number: sequence.attempt.to_string(),
        y,
        height: rows * STEP + 8,
        guilty,
        steps: steps.collect(),
        left_out: None,
    }
}

const fn x(lifeline: Lifeline) -> u32 {
    match lifeline {
        Lifeline::Client => COLUMNS[0],
        Lifeline::Proxy => COLUMNS[1],
        Lifeline::Service => COLUMNS[2],
        Lifeline::Ledger => COLUMNS[3],
    }
}

fn step(drawn: &Step, y: u32) -> StepView {
    let time = drawn.at_us.map(ms);
    let text_y = y - 6;
    let view = |class, from: u32, to: u32, label: String, lost, form| StepView {
        y,
        text_y,
        time: time.clone(),
        class,
        from,
        to,
        label_x: u32::midpoint(from, to),
        label,
        lost,
        form,
    };
    match &drawn.kind {
        StepKind::Message { from, to, label } => view("msg", x(*from), x(*to), label.clone(), None, Form::Arrow),
        StepKind::Reset { from, to } => view("rst", x(*from), x(*to), "connection reset".to_owned(), None, Form::Arrow),
        StepKind::Lost { from, to, label, cause } => {
            let (from, to) = (x(*from), x(*to));
            let is_forward = from < to;
            let end = if is_forward { to - LOST_BEFORE } else { to + LOST_BEFORE };
            let (cause_x, anchor) = if is_forward { (to + 10, "start") } else { (to - 10, "end") };
            let lost = LostView { x: end, cause_x, anchor, cause: cause.clone() };
            view("lost", from, end, label.clone(), Some(lost), Form::Arrow)
        }
        StepKind::Entry(entry) => {
            view("entry", x(Lifeline::Service), x(Lifeline::Ledger), format!("entry {}", entry.id), None, Form::Entry)
        }
        StepKind::Note { at, text } => {
            // A note at the last lifeline is on its left, because there is no space on its right.
            let place = if *at == Lifeline::Ledger { x(Lifeline::Service) } else { x(*at) };
            view("note", place, place, text.clone(), None, Form::Note)
        }
    }
}
