//! The sentences of an outcome: its verdict, its doubts, its findings. Every presenter uses these, so that all say the same.

use paylab_core::{
    claim::{Claim, Verdict},
    exposures::ExposureKind,
    judge::{
        anomaly::Anomaly,
        doubt::{Doubt, DoubtNote},
    },
    money::MinorUnits,
    outcome::{Outcome, Setting, exposure::bug_rate_bound, finding::Finding, series::Series},
    plan::Plan,
    targets::Target,
    witness::answers::UnmatchedAnswer,
};

use crate::counting::counted;

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
    let Outcome { plan, report, .. } = outcome;
    let all = report.payments.intended;
    let (booked, duplicated) = report.ledger.as_ref().map_or((0, 0), |ledger| (ledger.booked, ledger.duplicated));
    let counted = match plan.claim {
        Claim::ExactTotal => {
            let (risen, currency) = (MinorUnits(report.booked_minor().unwrap_or_default()), &plan.currency);
            let refused = report.total.map_or(0, |total| total.refused);
            format!("the ledger's total rose by {risen} {currency}, which is each of {} payments once", all - refused)
        }
        Claim::ExactlyOnce => format!("{booked} of {all} payments booked exactly once"),
        Claim::AtLeastOnce => format!("{booked} of {all} payments were booked, {duplicated} more than once"),
        Claim::AtMostOnce if all == booked => format!("none of {all} payments was booked more than once"),
        Claim::AtMostOnce => {
            let missing = amount_of(plan, booked).0.saturating_sub(plan.intended().0);
            let (lost, missing, currency) = (all - booked, MinorUnits(missing), &plan.currency);
            format!("none of {all} payments was booked more than once; {lost} were not booked ({missing} {currency})")
        }
    };
    let refused = match report.total.map_or_else(|| report.count(Anomaly::Refused), |total| total.refused) {
        0 => String::new(),
        count => format!(", {count} refused for good"),
    };
    let series = outcome.setting.series.as_ref().map(series).unwrap_or_default();
    format!("UPHELD {}: {counted}{refused}{}{series}.", plan.claim.name(), exposed(outcome))
}

/// The runs that were added up.
fn series(Series { runs, first_seed, last_seed, until_bound: _, budget: _, payments_most: _ }: &Series) -> String {
    match runs {
        1 => format!(", in 1 run with the seed {first_seed}"),
        several => format!(", in {several} runs with the seeds {first_seed} to {last_seed}"),
    }
}

/// How often the path had a chance to break its claim, and what that proves.
fn exposed(outcome: &Outcome) -> String {
    let Some(exposures) = outcome.exposures.filter(|exposures| *exposures > 0) else { return String::new() };
    let bound = percent(bug_rate_bound(exposures));
    if outcome.plan.claim == Claim::ExactTotal {
        // A duplicate may be hidden by a loss, so that no rate of bugs can be bounded.
        return format!("; {} exposed the claim; nothing is known of single payments", counted(exposures, "repeat"));
    }
    let (chances, each) = match ExposureKind::of(outcome.plan.claim, &outcome.plan.client) {
        ExposureKind::Repeats => (counted(exposures, "repeat"), "repeat"),
        ExposureKind::Undelivered => (format!("{} that did not arrive", counted(exposures, "attempt")), "attempt"),
        ExposureKind::Arrived => (format!("{} that arrived", counted(exposures, "request")), "request"),
    };
    format!("; {chances} exposed the claim (bug rate < {bound} % per {each}, 95 %)")
}

/// A rate in percent, rounded up to two decimals, or to two digits that are not zero if it is smaller.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of decimals is small and not negative"
)]
#[must_use]
pub fn percent(rate: f64) -> String {
    let percent = rate * 100.0;
    let decimals = if percent > 0.0 { (1.0 - percent.log10().floor()).clamp(2.0, 20.0) as usize } else { 2 };
    let scale = 10_f64.powi(i32::try_from(decimals).unwrap_or(2));
    format!("{:.decimals$}", (percent * scale).ceil() / scale)
}

fn violated(outcome: &Outcome) -> String {
    let Outcome { plan, report, broken, .. } = outcome;
    let mut parts: Vec<_> = broken.iter().map(|anomaly| broken_by(outcome, *anomaly)).collect();
    if report.lost() == Some(0) {
        parts.push("none lost".to_owned());
    }
    let first = broken.iter().filter_map(|anomaly| report.anomalies.get(anomaly)?.first.first());
    parts.extend(first.map(|example| example.payment).min().map(|payment| format!("first: payment {payment}")));
    format!("VIOLATED {}: {}.", plan.claim.name(), parts.join("; "))
}

/// What one anomaly means for the payments, in words.
#[must_use]
pub fn broken_by(outcome: &Outcome, anomaly: Anomaly) -> String {
    let Outcome { plan, report, .. } = outcome;
    let currency = &plan.currency;
    let count = report.count(anomaly);
    let loss = MinorUnits(amount_of(plan, count).0.saturating_neg());
    let payments = format!("{count} of {} payments", report.payments.intended);
    match anomaly {
        Anomaly::AcknowledgedButLost => {
            format!("{payments} were acknowledged and never booked ({loss} {currency})")
        }
        Anomaly::AnsweredButLost => format!("{payments} were answered 2xx and never booked"),
        Anomaly::RejectedButBooked => format!("{payments} were refused and booked all the same"),
        Anomaly::Shortfall | Anomaly::Surplus => total(outcome),
        Anomaly::Phantom => format!("{count} entries were booked that nobody asked for"),
        Anomaly::Mismatched => format!("{payments} were booked other than they were acknowledged"),
        Anomaly::SelfDuplicated => format!("{payments} were booked more often than they arrived"),
        Anomaly::Duplicated => {
            let excess = MinorUnits(report.ledger.as_ref().map_or(0, |ledger| ledger.excess_minor));
            format!("{payments} were booked more than once (+{excess} {currency})")
        }
        Anomaly::UnstableReplay => format!("{payments} were acknowledged under two identities"),
        Anomaly::RefusedRepeat => {
            format!("{payments} were booked, and their repeats were refused{}", answers(outcome))
        }
        Anomaly::Stuck => {
            let booked = report.anomalies.get(&anomaly).map_or(0, |examples| examples.booked);
            format!(
                "{payments} were never settled, however often the client asked, {booked} of them booked{}",
                answers(outcome)
            )
        }
        Anomaly::Lost => format!("{payments} were given up and never booked ({loss} {currency})"),
        Anomaly::Refused => format!("{payments} were refused for good and not booked"),
    }
}

/// What the ledger's total is and should be.
fn total(outcome: &Outcome) -> String {
    let total = outcome.report.total.unwrap_or_default();
    let (risen, due, excess) = (total.booked_minor(), total.due_minor, total.excess_minor());
    let (risen, due, sign) = (MinorUnits(risen), MinorUnits(due), if excess > 0 { "+" } else { "" });
    let (excess, currency) = (MinorUnits(excess), &outcome.plan.currency);
    format!("the ledger's total rose by {risen} {currency} and not by {due} {currency} ({sign}{excess} {currency})")
}

/// The answers that acknowledged nothing, in parentheses; nothing if there were none.
fn answers(outcome: &Outcome) -> String {
    let words = outcome.report.answers.words();
    if words.is_empty() { words } else { format!(" ({words})") }
}

/// What this many payments amount to.
fn amount_of(plan: &Plan, payments: u64) -> MinorUnits {
    MinorUnits(plan.amount.0.saturating_mul(i64::try_from(payments).unwrap_or(i64::MAX)))
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
        Doubt::EnvironmentChanged => "the lab changed while the load ran".to_owned(),
        Doubt::ReportMissing => format!("{count} of the workers left no whole report"),
        Doubt::ContractNotProven => "the contract of the service (spec.target) does not hold".to_owned(),
        Doubt::ControlNotDetected => "the ledger does not show a payment that was made twice on purpose".to_owned(),
        Doubt::LoadStopped => "the load ended early".to_owned(),
        Doubt::LoadIncomplete => format!("{} not tried to their end", was(*count, "payment")),
        Doubt::AnswersNotUnderstood => format!("the answers about {count} payments were not understood"),
        Doubt::PortShortage => format!("the client found no free port or file descriptor {count} times"),
        Doubt::LedgerFlawed => "the ledger is not whole".to_owned(),
        Doubt::RecordFlawed => "the proxy's record is not whole".to_owned(),
        Doubt::Unrecorded => format!("the proxy could not record {} (is its disk full?)", counted(*count, "request")),
        Doubt::OtherSender => format!("somebody else has sent requests of {count} payments of this run"),
        Doubt::AttemptsDiffer => format!("the proxy's record lacks attempts of {count} payments"),
        Doubt::CoinsDiffer => format!("{} not treated as the seed says", was(*count, "request")),
        Doubt::FaultsFailed => format!("{} ordered and not carried out", was(*count, "fault")),
        Doubt::Lapsed => {
            let requests = counted(*count, "request");
            format!("{requests} passed without faults, because the lease of the proxy's rules had expired")
        }
        Doubt::Strangers => format!("{} sent through the proxy that this load has not made", was(*count, "request")),
        Doubt::UnintendedResets => format!("{} reset that no fault ordered to be reset", was(*count, "connection")),
        Doubt::RequestsDiffer => "the service has not counted the requests that were forwarded to it".to_owned(),
        Doubt::ConnectionsDiffer => "the numbers of connections and attempts differ".to_owned(),
        Doubt::FaultSilent => format!("{} never took effect", counted(*count, "fault")),
        Doubt::TooFewExposures => "the path had too few chances to break its claim".to_owned(),
        Doubt::BoundNotReached => "the bug rate could not be bounded as --until-bound asks".to_owned(),
    };
    let first = first.map(|payment| format!(", first payment {payment}")).unwrap_or_default();
    let detail = detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
    format!("{text}{first}{detail}")
}

/// One finding in words.
#[must_use]
pub fn finding(finding: &Finding) -> String {
    match finding {
        Finding::Timeouts(count) => format!("{} timed out, which no fault ordered", counted(*count, "attempt")),
        Finding::Unreached(count) => format!("{} could not be made and tried again", counted(*count, "connection")),
        Finding::Differs { total, measured, predicted } => {
            format!("{}: measured {measured}, predicted {predicted}", total.words())
        }
    }
}

/// How many answers each rule of a contract has matched, such as `answers[0] 201 Acknowledged: 71, no rule: 2 (the first: ...)`; empty for a service without
/// rules.
#[must_use]
pub fn rules(outcome: &Outcome) -> String {
    matched_rules(outcome).join(", ")
}

/// How many answers each rule of a contract has matched, such as `answers[0] 201 Acknowledged: 71`, and how many none has.
#[must_use]
pub fn matched_rules(outcome: &Outcome) -> Vec<String> {
    let Target::Theirs(service) = &outcome.plan.target else { return Vec::new() };
    let answers = &outcome.report.answers;
    let matched = (0..).zip(&service.answers).map(|(index, rule)| {
        format!("answers[{index}] {rule}: {}", answers.rules.get(&index).copied().unwrap_or_default())
    });
    let first = answers.first_without_rule.as_ref().map(|UnmatchedAnswer { status, head, text }| {
        let head = if head.is_empty() { String::new() } else { format!(" [{head}]") };
        format!(" (the first: {status}{head} {text})")
    });
    let others =
        (answers.without_rule > 0).then(|| format!("no rule: {}{}", answers.without_rule, first.unwrap_or_default()));
    matched.chain(others).collect()
}

/// `1 payment was`, `3 payments were`.
fn was(count: u64, noun: &str) -> String {
    format!("{} {}", counted(count, noun), if count == 1 { "was" } else { "were" })
}

/// The command that repeats the run; `None` if it was not run from a file.
#[must_use]
pub fn repeat_command(outcome: &Outcome) -> Option<String> {
    let Setting { file, concurrency, target, series, .. } = &outcome.setting;
    let concurrency = concurrency.map(|number| format!(" --concurrency {number}")).unwrap_or_default();
    let target = target.as_ref().map(|target| format!(" {target}")).unwrap_or_default();
    let until = series.as_ref().map(until_options).unwrap_or_default();
    file.as_ref().map(|file| format!("paylab run {file} --seed {}{concurrency}{target}{until}", outcome.plan.seed()))
}

/// The options that make a series of a run, each with a space before it.
fn until_options(Series { until_bound, budget, payments_most, .. }: &Series) -> String {
    let budget = budget.as_ref().map(|budget| format!(" --budget {budget}")).unwrap_or_default();
    let most = payments_most.map(|most| format!(" --payments-most {most}")).unwrap_or_default();
    format!(" --until-bound {until_bound}{budget}{most}")
}
