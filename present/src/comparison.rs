//! What has changed from an earlier run to a later one, in text and Markdown; the HTML page shows the same lines.

use std::fmt::{self, Display, Formatter, Write as _};

use paylab_core::{
    judge::doubt::Doubt,
    outcome::comparison::{Change, Comparison, Part},
};

use crate::counting::counted;

/// A comparison for people at a terminal.
#[derive(Debug, Clone, Copy)]
pub struct TextComparison<'a>(pub &'a Comparison);

impl Display for TextComparison<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {:<26}{:>12}{:>12}", "compared", "before", "now")?;
        for Line { label, before, after, .. } in lines(self.0) {
            writeln!(f, "  {label:<26}{before:>12}{after:>12}")?;
        }
        let remarks: Vec<_> = remarks(self.0).into_iter().map(|(kind, text)| format!("  {kind:<10}{text}")).collect();
        f.write_str(&remarks.join("\n"))
    }
}

/// A comparison as Markdown.
#[must_use]
pub fn markdown(comparison: &Comparison) -> String {
    let mut text = "| compared | before | now |\n|---|--:|--:|\n".to_owned();
    for Line { label, before, after, differs } in lines(comparison) {
        let strong = if differs { "**" } else { "" };
        let _ = writeln!(text, "| {label} | {before} | {strong}{after}{strong} |");
    }
    text.push('\n');
    for (kind, remark) in remarks(comparison) {
        let _ = writeln!(text, "- **{kind}**: {remark}");
    }
    text + "\n"
}

/// A value before and after.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) label: String,
    pub(crate) before: String,
    pub(crate) after: String,
    pub(crate) differs: bool,
}

/// The verdict and every total.
pub(crate) fn lines(comparison: &Comparison) -> Vec<Line> {
    let Comparison { verdicts: Change { before, after }, totals, .. } = comparison;
    let line = |label: &str, before: String, after: String| {
        let differs = before != after;
        Line { label: label.to_owned(), before, after, differs }
    };
    let totals =
        totals.iter().map(|(total, Change { before, after })| line(total.words(), number(*before), number(*after)));
    std::iter::once(line("verdict", format!("{before:?}"), format!("{after:?}"))).chain(totals).collect()
}

/// What is new, what has gone, what is left, and which part of the experiment was changed.
pub(crate) fn remarks(comparison: &Comparison) -> Vec<(&'static str, String)> {
    let Comparison { verdicts: _, broken, totals: _, doubts_new, doubts_gone, changed } = comparison;
    let (mut new, mut gone, mut left) = (Vec::new(), Vec::new(), Vec::new());
    for (anomaly, Change { before, after }) in broken {
        match (before, after) {
            (Some(0) | None, Some(after)) => new.push(format!("{anomaly:?} ({})", counted(*after, "payment"))),
            (Some(before), Some(0)) => gone.push(format!("{anomaly:?} ({})", counted(*before, "payment"))),
            (Some(before), Some(after)) => left.push(format!("{anomaly:?} ({before} before, {after} now)")),
            (Some(before), None) => left.push(format!("{anomaly:?} ({before} before, not known now)")),
            (None, None) => {}
        }
    }
    let doubt = |doubt: &Doubt| format!("the doubt {doubt:?}");
    new.extend(doubts_new.iter().map(doubt));
    gone.extend(doubts_gone.iter().map(doubt));
    let changed: Vec<_> = changed.iter().map(|part| words(*part)).collect();
    let all = [("new", new), ("gone", gone), ("still", left)];
    let listed = |list: Vec<String>| if list.is_empty() { "nothing".to_owned() } else { list.join(", ") };
    let changed = if changed.is_empty() { "nothing in the experiment".to_owned() } else { changed.join(" and ") };
    all.into_iter().map(|(kind, list)| (kind, listed(list))).chain([("changed", changed)]).collect()
}

const fn words(part: Part) -> &'static str {
    match part {
        Part::Client => "the client (spec.client)",
        Part::Service => "the service (spec.service or spec.target)",
    }
}

fn number(count: Option<u64>) -> String {
    count.map_or_else(|| "not known".to_owned(), |count| count.to_string())
}
