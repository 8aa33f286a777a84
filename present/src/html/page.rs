//! The page, and how much of it may be shown.

use std::collections::BTreeSet;

use askama::Template;
use paylab_core::chronicle::story::PaymentStory;

use super::{
    histogram::{self, HistogramView},
    matrix::{self, MatrixView},
    plan::{self, PlanView},
    story,
    totals::{self, TotalsView},
    verdict::{self, VerdictView},
};
use crate::{
    comparison::{Line, lines, remarks},
    run::Run,
};

/// The stories of all runs together take at most this many bytes, so that the page of a run has at most 300 kB.
const STORIES_LEN_MAX: usize = 170_000;
/// At most this many payments are shown as proof.
const PROOFS: usize = 8;

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    title: String,
    runs: Vec<RunView<'a>>,
}

/// One run of a page.
struct RunView<'a> {
    /// Makes the anchors of this run different from those of others.
    prefix: String,
    name: &'a str,
    verdict: VerdictView,
    /// The payment that shows at once what is wrong, or how it held.
    first: Option<String>,
    first_heading: &'static str,
    first_lead: &'static str,
    proofs: Vec<ProofLink>,
    totals: TotalsView,
    matrix: Option<MatrixView>,
    /// The other payments that are told, as HTML.
    stories: Vec<String>,
    histograms: Vec<HistogramView>,
    plan: PlanView,
    note: Option<String>,
    comparison: Option<ComparisonView>,
}

/// What has changed since an earlier run.
struct ComparisonView {
    lines: Vec<Line>,
    remarks: Vec<(&'static str, String)>,
}

/// A link to a further payment that proves the verdict.
struct ProofLink {
    payment: u64,
    summary: String,
}

/// The report of one run or several as one page.
///
/// # Errors
/// None that is known: every template can be rendered.
pub fn page(runs: &[Run<'_>]) -> Result<String, askama::Error> {
    let budget = STORIES_LEN_MAX / runs.len().max(1);
    let views = (1..).zip(runs).map(|(number, run)| run_view(number, run, budget)).collect::<Result<Vec<_>, _>>()?;
    let title = match runs {
        [run] => format!("{}: {:?}", run.outcome.setting.experiment, run.outcome.verdict),
        several => format!("{} experiments", several.len()),
    };
    Page { title, runs: views }.render()
}

fn run_view<'a>(number: usize, run: &Run<'a>, budget: usize) -> Result<RunView<'a>, askama::Error> {
    let prefix = format!("r{number}-");
    let proofs = run.proofs(PROOFS);
    let first = proofs.first().copied().or_else(|| run.hardest());
    let first_html = first.map(|story| story::first(run, story, &prefix)).transpose()?;
    let mut left = budget.saturating_sub(first_html.as_ref().map_or(0, String::len));
    let mut told = BTreeSet::from_iter(first.map(|story| story.payment));
    let mut stories = Vec::new();
    for story in proofs.iter().copied().chain(named(run)) {
        if !told.contains(&story.payment) {
            let html = story::other(run, story, &prefix, proofs.iter().any(|proof| proof.payment == story.payment))?;
            if html.len() <= left {
                left -= html.len();
                told.insert(story.payment);
                stories.push(html);
            }
        }
    }
    let (first_heading, first_lead) = if run.outcome.broken.is_empty() {
        ("A payment put to the test", "The one that was asked for most often after it had been booked.")
    } else {
        ("The guilty request", "The simplest payment that proves the verdict.")
    };
    let others = proofs.iter().skip(1).filter(|proof| told.contains(&proof.payment));
    Ok(RunView {
        verdict: verdict::view(run),
        first: first_html,
        first_heading,
        first_lead,
        proofs: others.map(|proof| ProofLink { payment: proof.payment, summary: story::summary(proof) }).collect(),
        totals: totals::view(run.outcome),
        matrix: run.chronicle.counts.matrix.as_ref().map(|it| matrix::view(it, &prefix, &told)),
        stories,
        histograms: histogram::views(run),
        plan: plan::view(run),
        note: run.chronicle.counts.unread.clone(),
        comparison: run.comparison.map(|it| ComparisonView { lines: lines(it), remarks: remarks(it) }),
        name: &run.outcome.setting.experiment,
        prefix,
    })
}

/// The stories of the payments that the matrix names.
fn named<'a>(run: &Run<'a>) -> impl Iterator<Item = &'a PaymentStory> {
    let chronicle = run.chronicle;
    let named = chronicle.counts.matrix.as_ref().map(paylab_core::chronicle::matrix::Matrix::named).unwrap_or_default();
    let mut stories: Vec<_> = named.into_iter().filter_map(|payment| chronicle.story(payment)).collect();
    // Short ones first, so that as many as possible can be shown.
    stories.sort_by_key(|story| (story.attempts.len(), story.payment));
    stories.into_iter()
}
