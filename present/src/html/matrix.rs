//! The fate matrix: what happened to attempts against what became of payments. Each cell leads to its payments.

use std::collections::BTreeSet;

use paylab_core::chronicle::{
    ending::PaymentEnd,
    fate::AttemptFate,
    matrix::{Cell, Matrix},
};

use crate::{counting::counted, sequence::fate};

/// The third part of a report.
pub(super) struct MatrixView {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<RowView>,
    pub(super) panels: Vec<Panel>,
}

/// A fate.
pub(super) struct Column {
    pub(super) label: &'static str,
    pub(super) attempts: u64,
}

/// The payments that came to one end.
pub(super) struct RowView {
    pub(super) label: &'static str,
    pub(super) class: &'static str,
    pub(super) cells: Vec<CellView>,
}

/// The payments of one end that have met one fate, or all of that end.
pub(super) struct CellView {
    pub(super) payments: u64,
    /// The anchor of its panel; none if it is empty.
    pub(super) anchor: Option<String>,
    /// How dark it is, from 0 to 4.
    pub(super) shade: u64,
    /// What a screen reader says.
    pub(super) title: String,
}

/// What a cell opens.
pub(super) struct Panel {
    pub(super) anchor: String,
    pub(super) heading: String,
    pub(super) payments: Vec<Named>,
    /// How many more there are.
    pub(super) more: u64,
}

/// A payment of a panel.
pub(super) struct Named {
    pub(super) payment: u64,
    /// Whether its story is on the page.
    pub(super) is_told: bool,
}

pub(super) fn view(matrix: &Matrix, prefix: &str, told: &BTreeSet<u64>) -> MatrixView {
    let fates: Vec<_> = AttemptFate::ALL.into_iter().filter(|fate| matrix.attempts.contains_key(fate)).collect();
    let most = matrix.rows.values().map(|row| row.all.payments).max().unwrap_or(0);
    let (mut rows, mut panels) = (Vec::new(), Vec::new());
    for (end, row) in &matrix.rows {
        let empty = Cell::default();
        let all = [(None, &row.all)];
        let by_fate = fates.iter().map(|fate| (Some(*fate), row.cells.get(fate).unwrap_or(&empty)));
        let mut cells = Vec::new();
        for (fate, cell) in all.into_iter().chain(by_fate) {
            let heading = heading(*end, fate, cell.payments);
            let anchor = (cell.payments > 0).then(|| anchor(prefix, *end, fate));
            if let Some(anchor) = anchor.clone() {
                panels.push(panel(anchor, heading.clone(), cell, told));
            }
            cells.push(CellView { payments: cell.payments, anchor, shade: shade(cell.payments, most), title: heading });
        }
        rows.push(RowView { label: words(*end), class: class(*end), cells });
    }
    let column = |fate: &AttemptFate| Column { label: self::fate(*fate), attempts: matrix.attempts[fate] };
    MatrixView { columns: fates.iter().map(column).collect(), rows, panels }
}

fn panel(anchor: String, heading: String, cell: &Cell, told: &BTreeSet<u64>) -> Panel {
    let named = cell.first.iter().map(|payment| Named { payment: *payment, is_told: told.contains(payment) });
    Panel { anchor, heading, payments: named.collect(), more: cell.payments.saturating_sub(cell.first.len() as u64) }
}

fn anchor(prefix: &str, end: PaymentEnd, fate: Option<AttemptFate>) -> String {
    fate.map_or_else(|| format!("{prefix}{end:?}"), |fate| format!("{prefix}{end:?}-{fate:?}"))
}

fn heading(end: PaymentEnd, fate: Option<AttemptFate>, payments: u64) -> String {
    let payments = counted(payments, "payment");
    let met = fate.map(|fate| format!(", with an attempt that was: {}", self::fate(fate))).unwrap_or_default();
    format!("{payments} {}{met}", words(end).to_lowercase())
}

/// How dark a cell is: by its order of magnitude below the largest.
const fn shade(payments: u64, most: u64) -> u64 {
    match payments {
        0 => 0,
        few if few * 50 <= most => 1,
        few if few * 10 <= most => 2,
        few if few * 3 <= most => 3,
        _ => 4,
    }
}

/// What became of a payment, in words.
pub(crate) const fn words(end: PaymentEnd) -> &'static str {
    match end {
        PaymentEnd::AcknowledgedNotBooked => "Acknowledged, not booked",
        PaymentEnd::BookedMore => "Booked three times or more",
        PaymentEnd::BookedTwice => "Booked twice",
        PaymentEnd::Lost => "Not booked",
        PaymentEnd::Stuck => "Never settled",
        PaymentEnd::Refused => "Refused, not booked",
        PaymentEnd::Unended => "Not ended",
        PaymentEnd::BookedUnknown => "Booked once, client not told",
        PaymentEnd::BookedOnce => "Booked once",
    }
}

const fn class(end: PaymentEnd) -> &'static str {
    match end {
        PaymentEnd::AcknowledgedNotBooked | PaymentEnd::BookedMore | PaymentEnd::BookedTwice | PaymentEnd::Lost => {
            "bad"
        }
        PaymentEnd::Stuck | PaymentEnd::Unended | PaymentEnd::BookedUnknown => "open",
        PaymentEnd::Refused | PaymentEnd::BookedOnce => "good",
    }
}
