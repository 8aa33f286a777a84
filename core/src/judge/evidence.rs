//! Every doubt is drawn here: first about the share of one worker, then about the whole run.

use crate::{
    client::ConnectionPolicy,
    exposures::ExposureKind,
    judge::{
        anomaly::Anomaly,
        doubt::{Doubt, DoubtNote},
        report::{ProxyTotals, Report},
    },
    payment::PaymentId,
    plan::Plan,
    prediction::{Prediction, depends_on_timing},
    witness::{
        attempt::Ending,
        history::{History, PaymentHistory},
        ledger::LedgerTally,
        record::{Mismatches, RecordTally},
    },
};

/// This many exposures are required where the spec names no number and the plan can deliver them.
pub const EXPOSURES_WANTED: u64 = 100;
/// A fault that should have taken effect this often and never did is a doubt.
const SILENT_AFTER: u64 = 10;

/// Doubts about the share of one worker.
pub(super) fn doubt_share(history: &History, record: &RecordTally, ledger: &LedgerTally, report: &mut Report) {
    doubt_load(history, report);
    if let Some(flaw) = ledger.stream.flaw_text() {
        report.doubt(Doubt::LedgerFlawed, DoubtNote { count: 1, first: None, detail: Some(flaw) });
    }
    match record.stream.flaw_text() {
        Some(flaw) => report.doubt(Doubt::RecordFlawed, DoubtNote { count: 1, first: None, detail: Some(flaw) }),
        None => doubt_record(history, record, report),
    }
}

/// Doubts about the whole run, whose shares are merged.
#[cfg_attr(not(feature = "outcome"), expect(dead_code, reason = "the parts of a lab do not conclude"))]
pub(crate) fn doubt_run(plan: &Plan, report: &mut Report) {
    doubt_silence(report);
    doubt_counts(plan, report);
    if let Some(prediction) = report.prediction.clone() {
        doubt_faults(plan, &prediction, report);
    }
    doubt_exposures(plan, report);
}

fn doubt_load(history: &History, report: &mut Report) {
    if let Some(stop) = history.stopped {
        let answers = history.answers.words();
        let answers = if answers.is_empty() { answers } else { format!("; the answers were {answers}") };
        let detail = Some(format!("{}{answers}", stop.text()));
        report.doubt(Doubt::LoadStopped, DoubtNote { count: 1, first: None, detail });
    }
    if history.attempts.no_port > 0 {
        report.doubt(Doubt::PortShortage, note(history.attempts.no_port, None));
    }
    for (doubt, ending, detail) in [
        (Doubt::LoadIncomplete, Ending::Unended, None),
        (Doubt::AnswersNotUnderstood, Ending::NotUnderstood, Some(history.answers.words())),
    ] {
        let Mismatches { count, first } = of_payments(history, |_, row| row.ending == ending);
        if count > 0 {
            report.doubt(doubt, DoubtNote { count, first, detail });
        }
    }
}

fn doubt_record(history: &History, record: &RecordTally, report: &mut Report) {
    let surplus = of_payments(history, |payment, row| record.row(payment).requests > row.attempts);
    let missing = of_payments(history, |payment, row| record.row(payment).requests < row.attempts);
    // What the proxy itself has counted is drawn once for the whole run.
    let counts_resets = record.stream.footer().is_some_and(|footer| footer.unintended_resets > 0);
    let uncounted = if counts_resets { Mismatches::default() } else { record.broken };
    for (doubt, Mismatches { count, first }) in [
        (Doubt::UnintendedResets, uncounted),
        (Doubt::OtherSender, surplus),
        (Doubt::AttemptsDiffer, missing),
        (Doubt::CoinsDiffer, record.misjudged),
        (Doubt::FaultsFailed, record.undelivered),
    ] {
        if count > 0 {
            report.doubt(doubt, note(count, first));
        }
    }
}

/// The payments of a share for which something holds.
fn of_payments(history: &History, holds: impl Fn(PaymentId, &PaymentHistory) -> bool) -> Mismatches {
    let mut found = history.rows().filter(|(payment, row)| holds(*payment, row)).map(|(payment, _)| payment.0);
    let first = found.next();
    Mismatches { count: u64::from(first.is_some()) + found.count() as u64, first }
}

/// A report that says nothing of a witness, and not why, proves nothing either.
fn doubt_silence(report: &mut Report) {
    let missing =
        [Doubt::ReportMissing, Doubt::EnvironmentChanged, Doubt::ContractNotProven, Doubt::ControlNotDetected];
    if missing.iter().any(|doubt| report.doubts.contains_key(doubt)) {
        return;
    }
    let ledger_is_told = report.ledger.is_some() || report.total.is_some();
    for (doubt, is_told) in [(Doubt::LedgerFlawed, ledger_is_told), (Doubt::RecordFlawed, report.record.is_some())] {
        if !is_told && !report.doubts.contains_key(&doubt) {
            let detail = Some("the report does not say why".to_owned());
            report.doubt(doubt, DoubtNote { count: 1, first: None, detail });
        }
    }
}

/// Doubts that follow from what proxy and service have counted.
fn doubt_counts(plan: &Plan, report: &mut Report) {
    let Some(record) = report.record.clone() else { return };
    let ProxyTotals { connections, unintended_resets, unattributed, unrecorded, lapsed } = record.proxy;
    for (doubt, count) in [
        (Doubt::UnintendedResets, unintended_resets),
        (Doubt::Strangers, unattributed),
        (Doubt::Unrecorded, unrecorded),
        (Doubt::Lapsed, lapsed),
    ] {
        if count > 0 {
            report.doubt(doubt, note(count, None));
        }
    }
    let reached = report.attempts.reached();
    let differ = match plan.client.connection {
        ConnectionPolicy::PerAttempt => connections != reached,
        ConnectionPolicy::KeepAlive => connections > reached,
    };
    if differ {
        let detail = Some(format!("{connections} connections, {reached} attempts"));
        report.doubt(Doubt::ConnectionsDiffer, DoubtNote { count: connections.abs_diff(reached), first: None, detail });
    }
    let Some(counted) = report.requests_at_service() else { return };
    let forwarded = record.forwarded;
    // A request whose client has gone may be cut off before the service has read it; replicas count their own requests only.
    let may_be_cut = report.attempts.timeouts > 0 || report.doubts.contains_key(&Doubt::LoadStopped);
    let fits = !plan.counts_all_requests() || counted == forwarded || (may_be_cut && counted < forwarded);
    if !fits {
        let detail = Some(format!("{forwarded} were forwarded, the service counts {counted}"));
        report.doubt(Doubt::RequestsDiffer, DoubtNote { count: counted.abs_diff(forwarded), first: None, detail });
    }
}

/// Doubts about faults that should have taken effect.
fn doubt_faults(plan: &Plan, prediction: &Prediction, report: &mut Report) {
    let Some(measured) = report.record.as_ref().map(|record| record.faults.clone()) else { return };
    for (index, fault) in plan.faults().iter().enumerate() {
        let due = prediction.faults.get(index).map_or(0, |tally| tally.effective);
        let effective = measured.get(index).map_or(0, |tally| tally.effective);
        if due >= SILENT_AFTER && effective == 0 {
            let detail = Some(format!("\"{}\" should have taken effect {due} times", fault.name));
            report.doubt(Doubt::FaultSilent, DoubtNote { count: 1, first: None, detail });
        }
    }
}

/// The doubt that the path had too few chances to break its claim.
fn doubt_exposures(plan: &Plan, report: &mut Report) {
    let Some(measured) = report.exposures else { return };
    let kind = ExposureKind::of(plan.claim, &plan.client);
    let measured = measured.count(kind);
    let required = plan.min_exposures.unwrap_or_else(|| {
        let predicted = report.prediction.as_ref().map_or(0, |prediction| prediction.exposures.count(kind));
        let deliverable = if depends_on_timing(plan).is_some() { predicted / 2 } else { predicted };
        deliverable.clamp(1, EXPOSURES_WANTED)
    });
    if measured >= required {
        return;
    }
    let [one, several] = kind.words();
    let what = if measured == 1 { one } else { several };
    let refused = match report.count(Anomaly::Refused) {
        0 => String::new(),
        count => format!("; {count} payments were refused for good: {}", report.answers.words()),
    };
    let detail = Some(format!("{measured} {what}, at least {required} required (spec.minExposures){refused}"));
    report.doubt(Doubt::TooFewExposures, DoubtNote { count: required - measured, first: None, detail });
}

const fn note(count: u64, first: Option<u64>) -> DoubtNote {
    DoubtNote { count, first, detail: None }
}
