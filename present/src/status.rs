//! The status of the custom resource: what the operator writes, and what JSON shows.

use paylab_core::{
    judge::{anomaly::Anomaly, report::Report},
    money::MinorUnits,
    outcome::{Outcome, totals::Total},
    plan::Plan,
    prediction::{Prediction, depends_on_timing, repeats_are_exact},
    theory::Theory,
};
use paylab_resource::status::{
    AttemptsStatus, ChaosExperimentStatus, FaultStatus, LISTED_MAX, LabStatus, LedgerStatus, PaymentsStatus, Phase,
    PredictionStatus, SampleStatus, TheoryStatus,
};

use crate::sentence;

/// The status of an experiment that has an outcome.
#[must_use]
pub fn outcome(outcome: &Outcome) -> ChaosExperimentStatus {
    let Outcome { plan, report, .. } = outcome;
    ChaosExperimentStatus {
        phase: Some(Phase::Completed),
        run_id: Some(report.run_id.clone()),
        seed: Some(signed(plan.seed())),
        verdict: Some(outcome.verdict),
        observed: outcome.observed,
        reason: Some(outcome.reason.to_string()),
        message: Some(sentence::verdict(outcome)),
        ledger: Some(ledger(plan, report)),
        payments: Some(payments(report)),
        attempts: Some(attempts(report)),
        faults: faults(plan, report),
        lab: Some(lab(outcome)),
        prediction: Some(prediction(plan, report.prediction.as_ref())),
        samples: samples(outcome),
        ..ChaosExperimentStatus::default()
    }
}

/// What should happen, for this seed and in theory.
#[must_use]
pub fn prediction(plan: &Plan, prediction: Option<&Prediction>) -> PredictionStatus {
    let depends_on = depends_on_timing(plan).map(str::to_owned);
    let certain = |total: &Total| depends_on.is_none() && (*total != Total::Repeats || repeats_are_exact(plan));
    let exact = Total::ALL.into_iter().filter(certain);
    let theory = Theory::of(plan);
    let shown = Total::ALL.into_iter().filter_map(|total| {
        let estimate = total.expected(plan, theory.as_ref()?)?;
        let (low, high) = (signed(estimate.low), signed(estimate.high));
        Some((total.field().to_owned(), TheoryStatus { mean: format!("{:.1}", estimate.mean), low, high }))
    });
    PredictionStatus {
        exact: exact
            .filter_map(|total| Some((total.field().to_owned(), signed(total.predicted(prediction?)))))
            .collect(),
        theory: shown.collect(),
        depends_on,
    }
}

fn ledger(plan: &Plan, report: &Report) -> LedgerStatus {
    let booked = report.booked_minor();
    LedgerStatus {
        currency: plan.currency.clone(),
        intended: plan.intended().to_string(),
        booked: booked.map(|booked| MinorUnits(booked).to_string()),
        difference: booked.map(|booked| MinorUnits(booked.saturating_sub(plan.intended().0)).to_string()),
        entries: report.entries().map(signed),
    }
}

fn payments(report: &Report) -> PaymentsStatus {
    let ledger = report.ledger.as_ref();
    // These anomalies are drawn from ledger and record together.
    let of_both = |anomaly| report.exposures.map(|_| signed(report.count(anomaly)));
    PaymentsStatus {
        intended: signed(report.payments.intended),
        acknowledged: signed(report.payments.acknowledged),
        booked: ledger.map(|ledger| signed(ledger.booked)),
        lost: report.lost().map(signed),
        duplicated: ledger.map(|ledger| signed(ledger.duplicated)),
        phantom: of_both(Anomaly::Phantom),
        mismatched: of_both(Anomaly::Mismatched),
        refused: ledger.map(|_| signed(report.count(Anomaly::Refused))),
        stuck: of_both(Anomaly::Stuck),
        unknown: signed(report.payments.unknown),
    }
}

fn attempts(report: &Report) -> AttemptsStatus {
    AttemptsStatus {
        total: signed(report.attempts.total),
        acknowledged: signed(report.attempts.acknowledged),
        unknown: signed(report.attempts.unknown),
        rejected: signed(report.attempts.rejected),
        repeats: signed(report.attempts.repeats),
    }
}

fn faults(plan: &Plan, report: &Report) -> Vec<FaultStatus> {
    let tallies = report.record.iter().flat_map(|record| &record.faults);
    let shown = plan.faults().iter().zip(tallies).map(|(fault, tally)| FaultStatus {
        name: fault.name.clone(),
        probability: fault.probability.to_string(),
        drawn: signed(tally.drawn),
        fired: signed(tally.fired),
        effective: signed(tally.effective),
    });
    shown.collect()
}

fn lab(outcome: &Outcome) -> LabStatus {
    let record = outcome.report.record.as_ref();
    let findings = sentence::doubts(outcome).into_iter().chain(sentence::findings(outcome));
    LabStatus {
        recorded: record.map(|record| signed(record.recorded)),
        forwarded: record.map(|record| signed(record.forwarded)),
        struck: record.map(|record| signed(record.faults.iter().map(|fault| fault.effective).sum())),
        unintended_resets: record.map(|record| signed(record.proxy.unintended_resets)),
        exposures: outcome.exposures.map(signed),
        answers: sentence::matched_rules(outcome).into_iter().take(LISTED_MAX).collect(),
        findings: findings.take(LISTED_MAX).collect(),
    }
}

/// The payments that prove the verdict; if nothing breaks the claim, every payment that was not booked exactly once.
fn samples(outcome: &Outcome) -> Vec<SampleStatus> {
    let proving = |anomaly: &Anomaly| outcome.broken.is_empty() || outcome.broken.contains(anomaly);
    let anomalies = outcome.report.anomalies.iter().filter(|(anomaly, _)| proving(anomaly));
    let examples = anomalies.flat_map(|(anomaly, examples)| examples.first.iter().map(move |one| (anomaly, one)));
    let shown = examples.take(LISTED_MAX).map(|(anomaly, example)| SampleStatus {
        payment: signed(example.payment),
        class: format!("{anomaly:?}"),
        attempts: signed(example.attempts),
        entries: signed(example.entries),
    });
    shown.collect()
}

/// A count as an integer of the API server.
fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
