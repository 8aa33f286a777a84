//! The totals: measured, predicted, and the interval of the theory as a bar.

use paylab_core::{
    outcome::{Outcome, totals::Total},
    prediction::{depends_on_timing, repeats_are_exact},
    theory::Estimate,
};

/// The width of a bar, in pixels.
pub(super) const BAR_WIDTH: f64 = 220.0;
/// The space beside the outermost mark.
const BAR_MARGIN: f64 = 10.0;

/// The second part of a report.
pub(super) struct TotalsView {
    pub(super) rows: Vec<TotalRow>,
    /// Why nothing is predicted.
    pub(super) depends_on: Option<&'static str>,
    pub(super) has_theory: bool,
}

/// One total.
pub(super) struct TotalRow {
    pub(super) label: &'static str,
    pub(super) measured: String,
    pub(super) predicted: String,
    pub(super) mean: Option<String>,
    pub(super) interval: Option<String>,
    pub(super) bar: Option<Bar>,
    /// Whether the measured total is not the predicted one.
    pub(super) differs: bool,
}

/// The marks of a bar, in pixels from its left end.
pub(super) struct Bar {
    pub(super) low: String,
    pub(super) width: String,
    pub(super) mean: String,
    pub(super) measured: String,
}

pub(super) fn view(outcome: &Outcome) -> TotalsView {
    let depends_on = depends_on_timing(&outcome.plan);
    let rows: Vec<_> = Total::ALL.into_iter().filter_map(|total| row(outcome, total)).collect();
    TotalsView { has_theory: rows.iter().any(|row| row.mean.is_some()), rows, depends_on }
}

/// The row of a total; `None`: it is zero in every column and says nothing.
fn row(outcome: &Outcome, total: Total) -> Option<TotalRow> {
    let (plan, report) = (&outcome.plan, &outcome.report);
    let measured = total.measured(report);
    let is_exact = depends_on_timing(plan).is_none() && (total != Total::Repeats || repeats_are_exact(plan));
    let predicted = report.prediction.as_ref().filter(|_| is_exact).map(|prediction| total.predicted(prediction));
    let estimate = outcome.theory.as_ref().and_then(|theory| total.expected(plan, theory));
    let is_important = matches!(total, Total::Attempts | Total::Entries | Total::Duplicated | Total::Lost);
    let is_shown = is_important || [measured, predicted].into_iter().flatten().any(|count| count > 0);
    let text = |count: Option<u64>| count.map_or_else(|| "–".to_owned(), |count| count.to_string());
    is_shown.then(|| TotalRow {
        label: total.words(),
        measured: text(measured),
        predicted: text(predicted),
        mean: estimate.map(|estimate| format!("{:.1}", estimate.mean)),
        interval: estimate.map(|estimate| format!("{} to {}", estimate.low, estimate.high)),
        bar: estimate.zip(measured).map(|(estimate, measured)| bar(estimate, measured)),
        differs: measured.zip(predicted).is_some_and(|(measured, predicted)| measured != predicted),
    })
}

#[expect(clippy::cast_precision_loss, reason = "a pixel needs no more than 53 bits")]
fn bar(estimate: Estimate, measured: u64) -> Bar {
    let (low, high, measured) = (estimate.low as f64, estimate.high as f64, measured as f64);
    // The interval takes the middle of the bar, unless the measured total is far outside.
    let half = ((high - low).max(1.0)).max((measured - estimate.mean).abs() * 1.1);
    let from = estimate.mean - half;
    let place = |value: f64| BAR_MARGIN + (value - from) / (2.0 * half) * (BAR_WIDTH - 2.0 * BAR_MARGIN);
    let pixels = |value: f64| format!("{value:.1}");
    Bar {
        low: pixels(place(low)),
        width: pixels((place(high) - place(low)).max(2.0)),
        mean: pixels(place(estimate.mean)),
        measured: pixels(place(measured)),
    }
}
