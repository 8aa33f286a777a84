//! The sentences of an outcome: its verdict, its doubts, its findings. Every presenter uses these, so that all say the same.

use paylab_core::{
    claim::{Claim, Verdict},
    judge::{
        anomaly::Anomaly,
        doubt::{Doubt, DoubtNote},
    },
    money::MinorUnits,
    outcome::{Outcome, Setting, exposure::bug_rate_bound, finding::Finding},
};

/// The verdict in a sentence.
#[must_use]
pub fn verdict(outcome: &Outcome) -> String {
    match outcome.verdict {
        Verdict::Upheld => upheld(outcome),
        Verdict::Violated => violated(outcome),
        Verdict::Inconclusive => inconclusive(outcome),
    }
}

/// Every doubt in words, in the order in which they are reported.
#[must_use]
pub fn doubts(outcome: &Outcome) -> Vec<String> {
    outcome.report.doubts.iter().map(|(kind, note)| doubt(*kind, note)).collect()
}

/// Every finding in words.
#[must_use]
pub fn findings(outcome: &Outcome) -> Vec<String> {
    outcome.findings.iter().map(finding).collect()
}

fn upheld(outcome: &Outcome) -> String {
    let Outcome { plan, report, exposures, .. } = outcome;
    let exposures = *exposures;
    let claim = plan.claim.name();
    let (all, booked) = (report.payments.intended, report.payments.booked);
    let duplicated = report.count(Anomaly::Duplicated);
    let currency = &plan.currency;
    let missing =
        MinorUnits(plan.amount.0.saturating_mul(i64::try_from(booked).unwrap_or(i64::MAX)) - plan.intended().0);
    let counted = match plan.claim {
        Claim::ExactlyOnce if all == booked => format!("{booked} of {all} payments booked exactly once"),
        Claim::ExactlyOnce => {
            format!("{booked} of {all} payments booked exactly once, {} given up unbooked", all - booked)
        }
        Claim::AtMostOnce if all == booked => format!("none of {all} payments was booked more than once"),
        Claim::AtMostOnce => {
            let lost = all - booked;
            format!("none of {all} payments was booked more than once; {lost} were not booked ({missing} {currency})")
        }
        Claim::AtLeastOnce => {
            let lost = all - booked;
            format!("{booked} of {all} payments were booked, {duplicated} more than once, {lost} given up unbooked")
        }
    };
    let exposed = match plan.claim {
        _ if exposures == 0 => String::new(),
        Claim::AtMostOnce | Claim::ExactlyOnce => {
            let bound = bug_rate_bound(exposures) * 100.0;
            format!("; {exposures} repeats exposed the claim (bug rate < {bound:.2} % per repeat, 95 %)")
        }
        Claim::AtLeastOnce => format!("; {exposures} attempts that did not arrive exposed the claim"),
    };
    format!("UPHELD {claim}: {counted}{exposed}.")
}

fn violated(outcome: &Outcome) -> String {
    let Outcome { plan, report, broken, .. } = outcome;
    let all = report.payments.intended;
    let mut parts: Vec<_> = broken.iter().map(|anomaly| broken_by(outcome, *anomaly)).collect();
    if all == report.payments.booked {
        parts.push("none lost".to_owned());
    }
    let first =
        broken.iter().filter_map(|class| report.anomalies.get(class)?.first.first()).map(|case| case.payment).min();
    parts.extend(first.map(|payment| format!("first: payment {payment}")));
    format!("VIOLATED {}: {}.", plan.claim.name(), parts.join("; "))
}

/// What one anomaly means for the payments, in words.
#[must_use]
pub fn broken_by(outcome: &Outcome, anomaly: Anomaly) -> String {
    let Outcome { plan, report, .. } = outcome;
    let all = report.payments.intended;
    let currency = &plan.currency;
    let count = report.count(anomaly);
    let loss = MinorUnits(-plan.amount.0.saturating_mul(i64::try_from(count).unwrap_or(i64::MAX)));
    match anomaly {
        Anomaly::AcknowledgedButLost => {
            format!("{count} of {all} payments were acknowledged and never booked ({loss} {currency})")
        }
        Anomaly::AnsweredButLost => format!("{count} of {all} payments were answered 2xx and never booked"),
        Anomaly::RejectedButBooked => format!("{count} of {all} payments were refused and booked all the same"),
        Anomaly::Phantom => format!("{count} entries were booked that nobody asked for"),
        Anomaly::Mismatched => format!("{count} of {all} payments were booked other than they were acknowledged"),
        Anomaly::SelfDuplicated => format!("{count} of {all} payments were booked more often than they arrived"),
        Anomaly::Duplicated => {
            let excess = MinorUnits(report.lab.excess_minor);
            format!("{count} of {all} payments were booked more than once (+{excess} {currency})")
        }
        Anomaly::Undelivered => format!("{count} of {all} payments were never booked ({loss} {currency})"),
        Anomaly::Lost => format!("{count} of {all} payments were given up unbooked"),
    }
}

fn inconclusive(outcome: &Outcome) -> String {
    let doubts = doubts(outcome);
    let why = doubts.first().map_or("no reason was noted", String::as_str);
    let more = match doubts.len() {
        0 | 1 => String::new(),
        2 => " (and 1 more doubt)".to_owned(),
        several => format!(" (and {} more doubts)", several - 1),
    };
    format!("INCONCLUSIVE: {why}{more}; nothing is claimed.")
}

/// One doubt in words.
#[must_use]
pub fn doubt(doubt: Doubt, DoubtNote { count, first, detail }: &DoubtNote) -> String {
    let text = match doubt {
        Doubt::EnvironmentChanged => format!("{count} pods of the lab changed while the load ran"),
        Doubt::ReportMissing => format!("{count} of the workers left no whole report"),
        Doubt::LoadStopped => "the load ended early".to_owned(),
        Doubt::LoadIncomplete => format!("{count} payments were not tried to their end"),
        Doubt::PortShortage => format!("the client found no free port {count} times"),
        Doubt::LedgerFlawed => "the ledger is not whole".to_owned(),
        Doubt::RecordFlawed => "the proxy's record is not whole".to_owned(),
        Doubt::Unrecorded => format!("the proxy could not record {count} requests (is its disk full?)"),
        Doubt::AttemptsDiffer => format!("the proxy's record and the client's attempts differ by {count}"),
        Doubt::CoinsDiffer => format!("{count} requests were not treated as the seed says"),
        Doubt::FaultsFailed => format!("{count} faults were ordered and not carried out"),
        Doubt::Lapsed => {
            format!("{count} requests passed without faults, because the lease of the proxy's rules had expired")
        }
        Doubt::Strangers => format!("{count} requests through the proxy were not this load's"),
        Doubt::UnintendedResets => format!("{count} connections were reset that no fault ordered to be reset"),
        Doubt::RequestsDiffer => "the service has not counted the requests that were forwarded to it".to_owned(),
        Doubt::ConnectionsDiffer => "the numbers of connections and attempts differ".to_owned(),
        Doubt::FaultSilent => format!("{count} faults never took effect"),
        Doubt::TooFewExposures => "the path had too few chances to break its claim".to_owned(),
    };
    let first = first.map(|payment| format!(", first payment {payment}")).unwrap_or_default();
    let detail = detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
    format!("{text}{first}{detail}")
}

/// One finding in words.
#[must_use]
pub fn finding(finding: &Finding) -> String {
    match finding {
        Finding::Timeouts(count) => format!("{count} attempts timed out, which no fault ordered"),
        Finding::Unreached(count) => format!("{count} connections could not be made and were tried again"),
        Finding::Differs { total, measured, predicted } => {
            format!("{}: measured {measured}, predicted {predicted}", total.words())
        }
    }
}

/// The command that repeats the run; `None` if it was not run from a file.
#[must_use]
pub fn repeat_command(outcome: &Outcome) -> Option<String> {
    let Setting { file, concurrency, .. } = &outcome.setting;
    let concurrency = concurrency.map(|number| format!(" --concurrency {number}")).unwrap_or_default();
    file.as_ref().map(|file| format!("paylab run {file} --seed {}{concurrency}", outcome.plan.seed()))
}
