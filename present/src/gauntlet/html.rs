//! The table as one HTML page in the style of the report: it needs no network and contains no script.

use askama::Template;

use super::{Cell, Gauntlet, expected_word};

#[derive(Template)]
#[template(path = "gauntlet.html")]
struct Page<'a> {
    gauntlet: &'a Gauntlet,
    /// The class of the page's colour.
    class: &'static str,
    count: String,
    smallest: Option<String>,
    rows: Vec<RowView<'a>>,
    /// The cells that are told in words.
    told: Vec<Told<'a>>,
    seconds: String,
    made_by: &'static str,
}

struct RowView<'a> {
    subject: &'a str,
    cells: Vec<CellView>,
}

struct CellView {
    class: &'static str,
    text: String,
    /// What was expected, where that is something else.
    expected: Option<&'static str>,
}

struct Told<'a> {
    subject: Option<&'a str>,
    title: &'a str,
    class: &'static str,
    text: String,
    detail: String,
}

/// A gauntlet as a page.
///
/// # Errors
/// None that is known: the template can be rendered.
pub fn page(gauntlet: &Gauntlet) -> Result<String, askama::Error> {
    let is_one = gauntlet.rows.len() == 1;
    let rows = gauntlet.rows.iter().map(|row| RowView {
        subject: &row.subject,
        cells: row.cells.iter().map(|cell| view(gauntlet, cell)).collect(),
    });
    let told = gauntlet.cells().filter(|(_, cell)| is_one || cell.as_expected != Some(true));
    let told = told.map(|(row, cell)| Told {
        subject: (!is_one).then_some(row.subject.as_str()),
        title: cell.nemesis.title,
        class: cell.class(),
        text: cell.finding.to_string(),
        detail: cell.detail(),
    });
    let verdicts: Vec<_> = gauntlet.cells().map(|(_, cell)| cell.as_expected).collect();
    let class = match () {
        () if verdicts.contains(&Some(false)) => "bad",
        () if verdicts.contains(&None) => "open",
        () => "good",
    };
    Page {
        gauntlet,
        class,
        count: gauntlet.count(),
        smallest: gauntlet.smallest.as_ref().map(ToString::to_string),
        rows: rows.collect(),
        told: told.collect(),
        seconds: format!("{:.1}", gauntlet.elapsed.as_secs_f64()),
        made_by: env!("CARGO_PKG_VERSION"),
    }
    .render()
}

fn view(gauntlet: &Gauntlet, cell: &Cell) -> CellView {
    // What is expected of a service of a user's is always that it holds.
    let is_unexpected = gauntlet.rows.len() > 1 && cell.as_expected == Some(false);
    CellView {
        class: cell.class(),
        text: cell.finding.to_string(),
        expected: is_unexpected.then(|| expected_word(cell.expected)),
    }
}
