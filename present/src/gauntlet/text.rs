//! The table for people at a terminal.

use std::fmt::{self, Display, Formatter};

use anstyle::{AnsiColor, Style};
use paylab_resource::nemesis::Expected;

use super::{Cell, Finding, Gauntlet, Row, expected_word};

/// The space between two columns.
const GAP: &str = "   ";

/// The table, what it means, and the conclusion as the last lines.
#[derive(Debug, Clone, Copy)]
pub struct TextTable<'a>(pub &'a Gauntlet);

impl Display for TextTable<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(gauntlet) = self;
        let first = gauntlet.rows.iter().map(|row| row.subject.chars().count()).max().unwrap_or(0);
        let widths: Vec<_> = (0..gauntlet.nemeses.len()).map(|column| width(gauntlet, column)).collect();
        let titles = gauntlet.nemeses.iter().zip(&widths).map(|(nemesis, width)| format!("{:<width$}", nemesis.title));
        writeln!(f, "{}", format!("{:<first$}{GAP}{}", "", titles.collect::<Vec<_>>().join(GAP)).trim_end())?;
        for row in &gauntlet.rows {
            let bold = Style::new().bold();
            write!(f, "{bold}{:<first$}{bold:#}", row.subject)?;
            for (index, (cell, width)) in row.cells.iter().zip(&widths).enumerate() {
                let width = if index + 1 == widths.len() { 0 } else { *width };
                let style = style(cell);
                write!(f, "{GAP}{style}{:<width$}{style:#}", cell.finding)?;
            }
            writeln!(f)?;
        }
        writeln!(f)?;
        for (row, cell) in gauntlet.cells().filter(|(_, cell)| is_told(gauntlet, cell)) {
            writeln!(f, "  {}", told(gauntlet, row, cell))?;
        }
        legend(gauntlet, f)?;
        writeln!(f, "  {:.1} s   one cell again: {} --only NAME", gauntlet.elapsed.as_secs_f64(), gauntlet.command)?;
        write!(f, "{}", gauntlet.conclusion())
    }
}

fn width(gauntlet: &Gauntlet, column: usize) -> usize {
    let cells = gauntlet.rows.iter().filter_map(|row| row.cells.get(column));
    let title = gauntlet.nemeses[column].title.chars().count();
    cells.map(|cell| cell.finding.to_string().chars().count()).chain([title]).max().unwrap_or(0)
}

fn style(cell: &Cell) -> Style {
    let color = match cell.finding {
        Finding::Holds { .. } => AnsiColor::Green,
        Finding::Broken { .. } => AnsiColor::Red,
        Finding::Blind { .. } | Finding::Unknown { .. } => AnsiColor::Yellow,
        Finding::Impossible { .. } => return Style::new(),
    };
    Style::new().fg_color(Some(color.into()))
}

/// One service is told cell by cell; of several, what is unexpected.
fn is_told(gauntlet: &Gauntlet, cell: &Cell) -> bool {
    gauntlet.rows.len() == 1 || cell.as_expected != Some(true)
}

fn told(gauntlet: &Gauntlet, row: &Row, cell: &Cell) -> String {
    let subject = if gauntlet.rows.len() == 1 { String::new() } else { format!("{}, ", row.subject) };
    let place = format!("{subject}{}", cell.nemesis.name);
    let expected = match (cell.as_expected, cell.expected) {
        (Some(true), _) | (_, Expected::Holds) => String::new(),
        (_, expected) => format!(" (expected: {})", expected_word(expected)),
    };
    format!("{place:<14}  {}{expected}", cell.detail())
}

fn legend(gauntlet: &Gauntlet, f: &mut Formatter<'_>) -> fmt::Result {
    let has = |is: fn(&Finding) -> bool| gauntlet.cells().any(|(_, cell)| is(&cell.finding));
    writeln!(f, "  holds N: the claim held N times when it was put to the test")?;
    if has(|finding| matches!(finding, Finding::Blind { .. })) {
        writeln!(
            f,
            "  blind N: so did it here, although the mode is broken: this nemesis cannot tell it from a safe one"
        )?;
    }
    if has(|finding| matches!(finding, Finding::Broken { .. })) {
        writeln!(
            f,
            "  CLASS N: N payments break the claim (TWICE: booked more than once, LOST: never booked, ACKED, LOST: and acknowledged)"
        )?;
    }
    if has(|finding| matches!(finding, Finding::Unknown { .. } | Finding::Impossible { .. })) {
        writeln!(f, "  ?: nothing is known   -: this nemesis cannot strike here")?;
    }
    Ok(())
}
