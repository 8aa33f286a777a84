//! The story of a payment: in a sentence, as a diagram, and what both sides believe at the end.

use askama::Template;
use paylab_core::{chronicle::story::PaymentStory, money::MinorUnits};

use super::diagram::{self, DiagramView, Form};
use crate::{
    counting::{counted, entries},
    guilt,
    measured::{believed, ledger_says},
    run::Run,
    sequence::{self, Sequence, ms},
};

#[derive(Template)]
#[template(path = "story.html")]
struct StoryView {
    anchor: String,
    /// Where the reader goes back to.
    back: Option<String>,
    class: &'static str,
    heading: String,
    wrong: bool,
    sentence: String,
    diagram: DiagramView,
    attempts: Vec<AttemptRow>,
    believed: &'static str,
    ledger_says: &'static str,
    /// Whether both sides agree.
    agree: bool,
    entries: Vec<EntryView>,
    explain: Option<String>,
}

/// An attempt in words.
struct AttemptRow {
    number: u32,
    began: String,
    took: String,
    happened: String,
    status: String,
    belief: &'static str,
    booked: String,
    guilty: bool,
}

/// An entry of the ledger.
struct EntryView {
    id: i64,
    amount: String,
    by: Option<u32>,
}

/// The story that is always shown.
pub(super) fn first(run: &Run<'_>, story: &PaymentStory, prefix: &str) -> Result<String, askama::Error> {
    view(run, story, prefix, "first", None).render()
}

/// A story that is shown once somebody asks for it.
pub(super) fn other(
    run: &Run<'_>,
    story: &PaymentStory,
    prefix: &str,
    is_proof: bool,
) -> Result<String, askama::Error> {
    let class = if is_proof { "asked proof" } else { "asked" };
    view(run, story, prefix, class, Some(format!("{prefix}matrix"))).render()
}

/// A payment in a few words.
pub(super) fn summary(story: &PaymentStory) -> String {
    let attempts = counted(story.attempts.len() as u64, "attempt");
    match &story.entries {
        Some(list) => format!("{attempts}, {}", entries(list.len() as u64)),
        None => format!("{attempts}, ledger not read"),
    }
}

fn view(run: &Run<'_>, story: &PaymentStory, prefix: &str, class: &'static str, back: Option<String>) -> StoryView {
    let plan = &run.outcome.plan;
    let (sequences, guilty) = (sequence::of(story), guilt::attempts(story));
    let bookings = story.bookings();
    let by = |id: i64| bookings.iter().find(|(_, entry)| entry.id == id).map(|(attempt, _)| *attempt);
    let currency = &plan.currency;
    let entry_views = story.entries.iter().flatten().map(|entry| EntryView {
        id: entry.id,
        amount: format!("{} {currency}", MinorUnits(entry.amount_minor)),
        by: by(entry.id),
    });
    let payment = story.payment;
    StoryView {
        anchor: format!("{prefix}payment-{payment}"),
        back,
        class,
        heading: format!("Payment {payment}: {}", summary(story)),
        wrong: !story.anomalies.is_empty(),
        sentence: guilt::tell(story, plan),
        diagram: diagram::view(story.payment, &sequences, &guilty),
        attempts: sequences
            .iter()
            .take(diagram::ATTEMPTS_SHOWN)
            .map(|it| row(it, guilty.contains(&it.attempt)))
            .collect(),
        believed: believed(story.belief),
        ledger_says: ledger_says(story),
        agree: story.anomalies.is_empty(),
        entries: entry_views.collect(),
        explain: run.outcome.setting.evidence.as_ref().map(|evidence| format!("paylab explain {evidence} {payment}")),
    }
}

fn row(drawn: &Sequence, guilty: bool) -> AttemptRow {
    let happened = drawn.fate.map_or("not recorded", sequence::fate);
    AttemptRow {
        number: drawn.attempt,
        began: drawn.began_us.map(ms).unwrap_or_default(),
        took: drawn.took_us.map(ms).unwrap_or_default(),
        happened: drawn.fault.as_ref().map_or_else(|| happened.to_owned(), |fault| format!("{happened} ({fault})")),
        status: drawn.status.map(|status| status.to_string()).unwrap_or_default(),
        belief: drawn.belief,
        booked: drawn.entry.map(|entry| format!("entry {}", entry.id)).unwrap_or_default(),
        guilty,
    }
}
