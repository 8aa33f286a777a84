//! Markdown for a pull request or the summary of a job: the verdict, the totals, and the simplest payment that proves it. It fits a comment of
//! 65,536 characters.

use std::fmt::Write as _;

use paylab_core::{
    claim::Verdict,
    money::MinorUnits,
    outcome::{Outcome, totals::Total},
    prediction::{depends_on_timing, repeats_are_exact},
};

use crate::{comparison, guilt, measured::Measured, remedy, run::Run, sentence};

/// A comment has at most 65,536 characters; some are left for what surrounds the report.
const LEN_MAX: usize = 60_000;
/// At most this many doubts and findings are listed.
const REMARKS: usize = 10;

/// The report of one run or several.
#[must_use]
pub fn runs(runs: &[Run<'_>]) -> String {
    let mut text = String::new();
    if runs.len() > 1 {
        text.push_str("| experiment | verdict | |\n|---|---|---|\n");
        for Run { outcome, .. } in runs {
            let (name, mark) = (escaped(&outcome.setting.experiment), mark(outcome));
            let line =
                format!("| {name} | {mark} {:?} | {} |\n", outcome.verdict, escaped(&sentence::verdict(outcome)));
            if text.len() + line.len() > LEN_MAX / 2 {
                break;
            }
            text.push_str(&line);
        }
        text.push('\n');
    }
    let mut left_out = 0;
    // What needs attention comes first.
    let mut order: Vec<_> = runs.iter().collect();
    order.sort_by_key(|run| run.outcome.is_as_expected() == Some(true));
    for run in order {
        let forms = [section(run, Some(run)), section(run, None)];
        match forms.into_iter().find(|section| text.len() + section.len() <= LEN_MAX) {
            Some(section) => text.push_str(&section),
            None => left_out += 1,
        }
    }
    if left_out > 0 {
        let _ = writeln!(text, "{left_out} more experiments are not shown, because a comment has no space for them.");
    }
    text
}

fn mark(outcome: &Outcome) -> &'static str {
    match (outcome.is_as_expected(), outcome.verdict) {
        (Some(true), _) => "✅",
        (Some(false), _) => "❌",
        (None, Verdict::Inconclusive | Verdict::Upheld | Verdict::Violated) => "⚠️",
    }
}

/// The section of a run; `diagram` is the run whose simplest proof is drawn.
fn section(run: &Run<'_>, diagram: Option<&Run<'_>>) -> String {
    let outcome = run.outcome;
    let mut text = format!("### {} {}\n\n", mark(outcome), escaped(&outcome.setting.experiment));
    let _ = writeln!(text, "**{}**\n", escaped(&sentence::verdict(outcome)));
    let expect = outcome.plan.expect;
    let _ = match outcome.is_as_expected() {
        Some(true) => writeln!(text, "This is what the experiment expects (`expect: {expect:?}`).\n"),
        Some(false) => writeln!(text, "This is **not** what the experiment expects (`expect: {expect:?}`).\n"),
        None => writeln!(text, "Nothing is claimed, because the evidence does not suffice.\n"),
    };
    text.push_str(&totals(outcome));
    // It is short and bounded, and comes before the diagram, which may be left out.
    text.push_str(&run.comparison.map(comparison::markdown).unwrap_or_default());
    if let Some(story) = diagram.and_then(|run| run.proofs(1).first().copied()) {
        let measured = Measured { plan: &outcome.plan, story }.to_string();
        let _ = writeln!(text, "**Payment {}.** {}\n", story.payment, guilt::tell(story, &outcome.plan));
        let fence = fence(&measured);
        let _ = writeln!(
            text,
            "<details><summary>What happened to it</summary>\n\n{fence}text\n{measured}\n{fence}\n\n</details>\n"
        );
    }
    text.push_str(&remarks(outcome));
    if let Some(repeat) = sentence::repeat_command(outcome) {
        let fence = fence(&repeat);
        let _ = writeln!(text, "Run it again:\n\n{fence}sh\n{repeat}\n{fence}\n");
    }
    text
}

fn totals(outcome: &Outcome) -> String {
    let (plan, report) = (&outcome.plan, &outcome.report);
    let mut text = "| | measured | predicted | theory, 95 % |\n|---|--:|--:|---|\n".to_owned();
    let number = |count: Option<u64>| count.map_or_else(|| "–".to_owned(), |count| count.to_string());
    for total in Total::ALL {
        let is_exact = depends_on_timing(plan).is_none() && (total != Total::Repeats || repeats_are_exact(plan));
        let predicted = report.prediction.as_ref().filter(|_| is_exact).map(|prediction| total.predicted(prediction));
        let expected = outcome.theory.as_ref().and_then(|theory| total.expected(plan, theory));
        let expected = expected.map(|it| format!("{:.1} ({} to {})", it.mean, it.low, it.high)).unwrap_or_default();
        let (measured, predicted) = (number(total.measured(report)), number(predicted));
        let _ = writeln!(text, "| {} | {measured} | {predicted} | {expected} |", total.words());
    }
    let currency = escaped(&plan.currency);
    let booked = report.booked_minor().map_or_else(|| "not read".to_owned(), |minor| MinorUnits(minor).to_string());
    let _ = writeln!(text, "| booked, of {} {currency} intended | {booked} {currency} | | |\n", plan.intended());
    text
}

fn remarks(outcome: &Outcome) -> String {
    let doubts = outcome.report.doubts.iter();
    let doubts = doubts.map(|(kind, note)| ("doubt", sentence::doubt(*kind, note), remedy::of_doubt(*kind)));
    let findings = outcome.findings.iter();
    let findings = findings.map(|finding| ("finding", sentence::finding(finding), remedy::of_finding(finding)));
    let lines = doubts.chain(findings).take(REMARKS);
    let text: String =
        lines.map(|(kind, text, remedy)| format!("- **{kind}**: {}. {remedy}\n", escaped(&text))).collect();
    if text.is_empty() { text } else { text + "\n" }
}

/// A text without anything that Markdown or HTML would read otherwise.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' => {
                escaped.push('\\');
                escaped.push(character);
            }
            // A mention would tell somebody.
            '@' => escaped.push_str("&#64;"),
            '\n' | '\r' => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A fence that is longer than every row of backticks in a text.
pub(crate) fn fence(text: &str) -> String {
    let longest = text.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}
