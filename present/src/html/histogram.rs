//! How attempts and entries are spread over payments, beside the theory.

use std::collections::BTreeMap;

use paylab_core::{chronicle::histogram::LAST_BIN, theory::Distributions};

use crate::run::Run;

/// The height of the tallest bar, in pixels.
const HEIGHT: f64 = 150.0;
/// The width of a bin.
const BIN: usize = 44;
/// At most this many bins are drawn; the last one holds all above it.
const BINS: usize = 12;
/// The distance of the first bin from the left.
const LEFT: usize = 8;

/// A histogram.
pub(super) struct HistogramView {
    pub(super) heading: &'static str,
    pub(super) title: String,
    pub(super) width: usize,
    pub(super) bins: Vec<Bin>,
    pub(super) has_theory: bool,
}

/// The payments with one number of attempts or entries.
pub(super) struct Bin {
    pub(super) label: String,
    pub(super) payments: u64,
    pub(super) expected: Option<String>,
    pub(super) x: usize,
    pub(super) middle: usize,
    pub(super) y: String,
    pub(super) height: String,
    pub(super) text_y: String,
    pub(super) expected_y: Option<String>,
}

pub(super) fn views(run: &Run<'_>) -> Vec<HistogramView> {
    let histograms = &run.chronicle.counts.histograms;
    let theory = run.outcome.theory.and_then(|_| Distributions::of(&run.outcome.plan));
    let (attempts, entries) = theory.map_or((None, None), |theory| (Some(theory.attempts), Some(theory.entries)));
    let all = [
        ("Attempts per payment", &histograms.attempts, attempts),
        ("Entries per payment", &histograms.entries, entries),
    ];
    let shown = all.into_iter().filter(|(_, counts, _)| !counts.is_empty());
    shown.map(|(heading, counts, expected)| view(heading, counts, expected.as_deref())).collect()
}

fn view(heading: &'static str, counts: &BTreeMap<u64, u64>, expected: Option<&[f64]>) -> HistogramView {
    let last = usize::try_from(counts.keys().max().copied().unwrap_or(0).min(LAST_BIN)).unwrap_or(0);
    let first = usize::from(!counts.contains_key(&0) && last > 0);
    let end = (last + 1).min(first + BINS);
    let payments: Vec<u64> = (first..end).map(|bin| counted(counts, bin, end, last)).collect();
    let theory: Option<Vec<f64>> = expected.map(|all| (first..end).map(|bin| share(all, bin, end)).collect());
    let tallest =
        theory.iter().flatten().copied().chain(payments.iter().map(|count| float(*count))).fold(1.0, f64::max);
    let scale = HEIGHT / tallest;
    let bins = payments.iter().enumerate().map(|(place, count)| {
        let top = HEIGHT - float(*count) * scale;
        let expected = theory.as_ref().map(|theory| theory[place]);
        let is_open = first + place + 1 == end && end <= last;
        Bin {
            label: format!("{}{}", first + place, if is_open { "+" } else { "" }),
            payments: *count,
            expected: expected.map(|expected| format!("{expected:.1}")),
            x: LEFT + place * BIN,
            middle: LEFT + place * BIN + (BIN - 12) / 2,
            y: format!("{:.1}", top + 24.0),
            height: format!("{:.1}", HEIGHT - top),
            // Above the bar, and above the mark of the theory where that is just above it.
            text_y: format!("{:.1}", expected.map_or(top, |it| top.min(label_top(top, HEIGHT - it * scale))) + 18.0),
            expected_y: expected.map(|expected| format!("{:.1}", HEIGHT - expected * scale + 24.0)),
        }
    });
    HistogramView {
        heading,
        title: format!("{heading}, as bars; the table below has the numbers"),
        width: LEFT * 2 + payments.len() * BIN,
        bins: bins.collect(),
        has_theory: expected.is_some(),
    }
}

/// The mark of the theory, if a label above the bar would meet it; else the top of the bar.
fn label_top(bar: f64, mark: f64) -> f64 {
    if (bar - 20.0..bar + 4.0).contains(&mark) { mark } else { bar }
}

/// The payments of a bin; the last one that is drawn holds all above it.
fn counted(counts: &BTreeMap<u64, u64>, bin: usize, end: usize, last: usize) -> u64 {
    let to = if bin + 1 == end { last.max(bin) } else { bin };
    counts.range(bin as u64..=to as u64).map(|(_, payments)| payments).sum()
}

fn share(expected: &[f64], bin: usize, end: usize) -> f64 {
    if bin + 1 == end { expected.iter().skip(bin).sum() } else { expected.get(bin).copied().unwrap_or(0.0) }
}

#[expect(clippy::cast_precision_loss, reason = "a pixel needs no more than 53 bits")]
const fn float(count: u64) -> f64 {
    count as f64
}
