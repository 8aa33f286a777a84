//! The verdict, and what it rests on.

use paylab_core::{
    claim::{Claim, Observed, Verdict},
    exposures::ExposureKind,
    judge::anomaly::Anomaly,
    money::MinorUnits,
    outcome::{Outcome, exposure::bug_rate_bound},
};

use crate::{counting::counted, run::Run, sentence};

/// The first part of a report.
pub(super) struct VerdictView {
    /// The class of its colour.
    pub(super) class: &'static str,
    pub(super) word: &'static str,
    pub(super) claim: &'static str,
    /// What the claim means.
    pub(super) meaning: &'static str,
    pub(super) sentence: String,
    pub(super) expectation: Option<&'static str>,
    pub(super) figures: Vec<Figure>,
    pub(super) facts: Vec<Fact>,
    pub(super) repeat: Option<String>,
}

/// A number that is seen at once.
pub(super) struct Figure {
    pub(super) label: &'static str,
    pub(super) number: String,
    pub(super) unit: String,
    pub(super) class: &'static str,
}

/// A fact and its name.
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) text: String,
}

pub(super) fn view(run: &Run<'_>) -> VerdictView {
    let outcome = run.outcome;
    let sentence = sentence::verdict(outcome);
    // The sentence begins with the word and the claim, which are shown above it.
    let sentence = sentence.split_once(": ").map_or(sentence.clone(), |(_, rest)| capitalised(rest));
    let (class, word) = match outcome.verdict {
        Verdict::Upheld => ("good", "Upheld"),
        Verdict::Violated => ("bad", "Violated"),
        Verdict::Inconclusive => ("open", "Inconclusive"),
    };
    VerdictView {
        class,
        word,
        claim: outcome.plan.claim.name(),
        meaning: match outcome.plan.claim {
            Claim::AtMostOnce => "no payment is booked twice",
            Claim::AtLeastOnce => "every payment is booked",
            Claim::ExactlyOnce => "every payment is booked exactly once",
            Claim::ExactTotal => "the ledger's total is that of all payments, each once",
        },
        sentence,
        expectation: outcome.is_as_expected().map(|is_expected| {
            if is_expected {
                "This is what the experiment expects."
            } else {
                "This is not what the experiment expects."
            }
        }),
        figures: figures(outcome),
        facts: facts(outcome),
        repeat: sentence::repeat_command(outcome),
    }
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

fn figures(outcome: &Outcome) -> Vec<Figure> {
    let (plan, report) = (&outcome.plan, &outcome.report);
    let currency = || plan.currency.clone();
    let intended = plan.intended();
    let booked = report.booked_minor();
    let difference = booked.map(|booked| booked.saturating_sub(intended.0));
    let money = |minor: Option<i64>| minor.map_or_else(|| "not read".to_owned(), |minor| MinorUnits(minor).to_string());
    let sign = if difference.is_some_and(|difference| difference > 0) { "+" } else { "" };
    let count = |count: Option<u64>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
    let of_payments = || format!("of {}", counted(plan.count, "payment"));
    let mark = |is_wrong: bool| if is_wrong { "bad" } else { "" };
    let duplicated = report.ledger.as_ref().map(|ledger| ledger.duplicated);
    let breaks = |anomalies: &[Anomaly]| anomalies.iter().any(|anomaly| outcome.broken.contains(anomaly));
    let lost = [Anomaly::Lost, Anomaly::AcknowledgedButLost, Anomaly::AnsweredButLost, Anomaly::Stuck];
    vec![
        Figure { label: "Intended", number: intended.to_string(), unit: currency(), class: "" },
        Figure { label: "Booked", number: money(booked), unit: currency(), class: "" },
        Figure {
            label: "Difference",
            number: format!("{sign}{}", money(difference)),
            unit: currency(),
            class: mark(difference.is_some_and(|it| it != 0) && !outcome.broken.is_empty()),
        },
        Figure {
            label: "More than once",
            number: count(duplicated),
            unit: of_payments(),
            class: mark(breaks(&[Anomaly::Duplicated, Anomaly::SelfDuplicated])),
        },
        Figure { label: "Not booked", number: count(report.lost()), unit: of_payments(), class: mark(breaks(&lost)) },
    ]
}

fn facts(outcome: &Outcome) -> Vec<Fact> {
    let plan = &outcome.plan;
    let fact = |name, text: String| Fact { name, text };
    let observed =
        outcome.observed.map_or("not known, because the ledger was not read whole", |observed| match observed {
            Observed::AtMostOnce => "AtMostOnce: some payments are missing, none was booked twice",
            Observed::AtLeastOnce => "AtLeastOnce: no payment is missing, some were booked twice",
            Observed::ExactlyOnce => "ExactlyOnce: no payment is missing, none was booked twice",
            Observed::Neither => "Neither: some payments are missing, and some were booked twice",
        });
    let mut facts = vec![
        fact("Claimed", format!("{} (expected verdict: {:?})", plan.claim.name(), plan.expect)),
        fact("Observed", observed.to_owned()),
    ];
    if let Some(exposures) = outcome.exposures {
        let [one, several] = ExposureKind::of(plan.claim, &plan.client).words();
        let kind = if exposures == 1 { one } else { several };
        let bound = if outcome.verdict == Verdict::Upheld && exposures > 0 {
            format!(
                ". The bug rate is below {} % of these, with 95 % confidence",
                sentence::percent(bug_rate_bound(exposures))
            )
        } else {
            String::new()
        };
        facts.push(fact("Put to the test", format!("{exposures} {kind}{bound}")));
    }
    facts.push(fact("Seed", plan.seed().to_string()));
    facts.push(fact("Run", outcome.report.run_id.clone()));
    if let (Some(elapsed), Some(database)) = (outcome.setting.elapsed, &outcome.setting.database) {
        facts.push(fact("Measured", format!("in {:.2} s, with the ledger on {database}", elapsed.as_secs_f64())));
    }
    facts
}
