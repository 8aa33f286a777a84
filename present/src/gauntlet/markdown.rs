//! The table as Markdown, for a pull request or the summary of a job.

use std::fmt::Write as _;

use super::{Cell, Finding, Gauntlet, expected_word};
use crate::markdown::{escaped, fence};

/// The table, what became of each cell that needs words, and the conclusion first.
#[must_use]
pub fn gauntlet(gauntlet: &Gauntlet) -> String {
    let mut text = format!("### Gauntlet: {}\n\n**{}**\n\n", escaped(&gauntlet.name), escaped(&gauntlet.conclusion()));
    text.push_str("| |");
    for nemesis in &gauntlet.nemeses {
        let _ = write!(text, " {} |", escaped(nemesis.title));
    }
    let _ = writeln!(text, "\n|---|{}", "---|".repeat(gauntlet.nemeses.len()));
    for row in &gauntlet.rows {
        let _ = write!(text, "| **{}** |", escaped(&row.subject));
        for cell in &row.cells {
            let _ = write!(text, " {} {} |", mark(cell), escaped(&cell.finding.to_string()));
        }
        text.push('\n');
    }
    text.push('\n');
    for (row, cell) in gauntlet.cells().filter(|(_, cell)| gauntlet.rows.len() == 1 || cell.as_expected != Some(true)) {
        let expected = if cell.as_expected == Some(false) && gauntlet.rows.len() > 1 {
            format!(" (expected: {})", expected_word(cell.expected))
        } else {
            String::new()
        };
        let (subject, nemesis) = (escaped(&row.subject), cell.nemesis.name);
        let _ = writeln!(text, "- {subject}, **{nemesis}**: {}{expected}", escaped(&cell.detail()));
    }
    let fence = fence(&gauntlet.command);
    let _ = writeln!(text, "\nOne cell again:\n\n{fence}sh\n{} --only NAME\n{fence}", gauntlet.command);
    text
}

const fn mark(cell: &Cell) -> &'static str {
    match (&cell.finding, cell.as_expected) {
        (Finding::Impossible { .. }, _) => "",
        (_, Some(true)) => "✅",
        (_, Some(false)) => "❌",
        (_, None) => "⚠️",
    }
}
