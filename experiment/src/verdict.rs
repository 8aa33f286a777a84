//! The conclusion: three layers that are never mixed. A broken invariant of the claim makes it `Violated`; where there is
//! none, any doubt about the lab makes it `Inconclusive`; only then may it be `Upheld`.

use crate::{
    money::MinorUnits,
    plan::Plan,
    predict::{Prediction, depends_on, repeats_are_exact},
    report::{Class, Doubt, LabTotals, Note, Report},
    spec::{Claim, ConnectionPolicy, Expectation},
    status::{Observed, Verdict},
    totals::Total,
};

/// So many exposures are asked for where the spec names no number and the plan can deliver them.
pub const EXPOSURES_WANTED: u64 = 100;
/// A fault that should have struck so often and never did is a doubt.
const SILENT_AFTER: u64 = 10;
/// One in twenty: the error that the bound of the bug rate allows.
const RISK: f64 = 0.05;

/// What the evidence comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Conclusion {
    /// Whether the claim held.
    pub verdict: Verdict,
    /// What the path was seen to do; `None` without a whole ledger.
    pub observed: Option<Observed>,
    /// One word: the class that breaks the claim, or the doubt.
    pub reason: String,
    /// The verdict in a sentence.
    pub sentence: String,
    /// Every reason why the lab cannot say, the most telling first.
    pub doubted: Vec<Doubt>,
    /// The same in sentences.
    pub doubts: Vec<String>,
    /// What is strange and changes nothing: measured totals that are not the predicted ones.
    pub findings: Vec<String>,
    /// Chances the path had to break its claim.
    pub exposures: u64,
    /// The classes that break the claim, the worst first.
    pub broken: Vec<Class>,
}

impl Conclusion {
    /// Whether this is what the spec expects; `None`: nobody can say.
    #[must_use]
    pub const fn is_as_expected(&self, expect: Expectation) -> Option<bool> {
        match (self.verdict, expect) {
            (Verdict::Inconclusive, _) => None,
            (Verdict::Upheld, Expectation::Upheld) | (Verdict::Violated, Expectation::Violated) => Some(true),
            (Verdict::Upheld, Expectation::Violated) | (Verdict::Violated, Expectation::Upheld) => Some(false),
        }
    }
}

/// Concludes from the merged report of a whole run.
#[must_use]
pub fn conclude(plan: &Plan, report: &Report, prediction: &Prediction) -> Conclusion {
    let mut report = report.clone();
    doubt_instruments(plan, &mut report);
    doubt_faults(plan, prediction, &mut report);
    let exposures = exposures(plan, report.attempts.reached(), report.lab.forwarded, report.lab.repeats_forwarded);
    doubt_exposures(plan, prediction, exposures, &mut report);
    let broken = broken(plan, &report);
    let doubts: Vec<_> = report.doubts.iter().map(|(doubt, note)| doubt_text(*doubt, note)).collect();
    let (verdict, reason, sentence) = if let Some(worst) = broken.first() {
        (Verdict::Violated, format!("{worst:?}"), violated(plan, &report, &broken))
    } else if let Some(doubt) = report.doubts.keys().next() {
        (Verdict::Inconclusive, format!("{doubt:?}"), inconclusive(&doubts))
    } else {
        (Verdict::Upheld, "ClaimHeld".to_owned(), upheld(plan, &report, exposures))
    };
    let whole = report.is_whole();
    let observed = (whole && !report.doubts.contains_key(&Doubt::LedgerFlawed)).then(|| observed(&report));
    let findings = if whole { findings(plan, &report, prediction) } else { Vec::new() };
    let doubted = report.doubts.into_keys().collect();
    Conclusion { verdict, observed, reason, sentence, doubted, doubts, findings, exposures, broken }
}

/// The largest bug rate per exposure that so many exposures without a bug leave possible, with 95 % confidence.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
pub fn bug_rate_bound(exposures: u64) -> f64 {
    if exposures == 0 { 1.0 } else { 1.0 - RISK.powf(1.0 / exposures as f64) }
}

/// The chances to break the claim: repeats of a request that had arrived, or attempts that did not arrive.
const fn exposures(plan: &Plan, attempts: u64, forwarded: u64, repeats_forwarded: u64) -> u64 {
    match plan.claim {
        Claim::AtMostOnce | Claim::ExactlyOnce => repeats_forwarded,
        Claim::AtLeastOnce => attempts.saturating_sub(forwarded),
    }
}

fn broken(plan: &Plan, report: &Report) -> Vec<Class> {
    let LabTotals { unattributed, service_requests, forwarded, .. } = report.lab;
    // Where others have paid too, an unknown entry may be theirs.
    let alone = unattributed == 0 && (plan.service.replicas > 1 || service_requests <= forwarded);
    let breaks = |class: &Class| class.violates(plan.claim) && (alone || *class != Class::Phantom);
    report.cases.iter().filter(|(_, cases)| cases.count > 0).map(|(class, _)| *class).filter(breaks).collect()
}

fn doubt_instruments(plan: &Plan, report: &mut Report) {
    let LabTotals {
        forwarded, connections, service_requests, unintended_resets, unattributed, unrecorded, lapsed, ..
    } = report.lab;
    for (doubt, count) in [
        (Doubt::UnintendedResets, unintended_resets),
        (Doubt::Strangers, unattributed),
        (Doubt::Unrecorded, unrecorded),
        (Doubt::Lapsed, lapsed),
    ] {
        if count > 0 {
            report.doubt(doubt, Note { count, ..Note::default() });
        }
    }
    let totals = report.attempts;
    if !report.doubts.contains_key(&Doubt::RecordFlawed) {
        let reached = totals.reached();
        let differ = match plan.client.connection {
            ConnectionPolicy::PerAttempt => connections != reached,
            ConnectionPolicy::KeepAlive => connections > reached,
        };
        if differ {
            let detail = Some(format!("{connections} connections, {reached} attempts"));
            report.doubt(Doubt::ConnectionsDiffer, Note { count: connections.abs_diff(reached), first: None, detail });
        }
    }
    // A request whose client gave up may be cut off before the service has read it; replicas count each their own.
    let fits = match (plan.service.replicas, totals.timeouts) {
        (1, 0) => service_requests == forwarded,
        (1, _) => service_requests <= forwarded,
        (_, _) => true,
    };
    if !fits && !report.doubts.contains_key(&Doubt::LedgerFlawed) {
        let detail = Some(format!("{forwarded} were forwarded, the service counts {service_requests}"));
        report.doubt(Doubt::RequestsDiffer, Note { count: service_requests.abs_diff(forwarded), first: None, detail });
    }
}

fn doubt_faults(plan: &Plan, prediction: &Prediction, report: &mut Report) {
    for (index, fault) in plan.faults.iter().enumerate() {
        let due = prediction.faults.get(index).map_or(0, |tally| tally.effective);
        let struck = report.faults.get(index).map_or(0, |tally| tally.effective);
        if due >= SILENT_AFTER && struck == 0 {
            let detail = Some(format!("\"{}\" should have struck {due} times", fault.name));
            report.doubt(Doubt::FaultSilent, Note { count: 1, first: None, detail });
        }
    }
}

fn doubt_exposures(plan: &Plan, prediction: &Prediction, measured: u64, report: &mut Report) {
    let once = plan.client.max_attempts == Some(1);
    if plan.claim == Claim::AtMostOnce && once {
        return;
    }
    let exact = exposures(plan, prediction.attempts, prediction.forwarded, prediction.exposures);
    let deliverable = if depends_on(plan).is_some() { exact / 2 } else { exact };
    let required = plan.min_exposures.unwrap_or_else(|| deliverable.clamp(1, EXPOSURES_WANTED));
    if measured < required {
        let what = match plan.claim {
            Claim::AtMostOnce | Claim::ExactlyOnce => "repeats of a payment that had arrived",
            Claim::AtLeastOnce => "attempts that did not arrive",
        };
        let detail = Some(format!("{measured} {what}, {required} are needed"));
        report.doubt(Doubt::TooFewExposures, Note { count: required - measured, first: None, detail });
    }
}

const fn observed(report: &Report) -> Observed {
    let missing = report.payments.intended > report.payments.booked;
    // The sum beyond one entry each is zero exactly when no payment has two.
    match (missing, report.lab.excess_minor > 0) {
        (true, false) => Observed::AtMostOnce,
        (false, true) => Observed::AtLeastOnce,
        (false, false) => Observed::ExactlyOnce,
        (true, true) => Observed::Neither,
    }
}

fn findings(plan: &Plan, report: &Report, prediction: &Prediction) -> Vec<String> {
    let mut findings = Vec::new();
    if report.attempts.timeouts > 0 {
        findings.push(format!("{} attempts timed out, which no coin decides", report.attempts.timeouts));
    }
    if report.attempts.unreached > 0 {
        findings.push(format!("{} connections could not be made and were tried again", report.attempts.unreached));
    }
    if depends_on(plan).is_none() {
        for total in Total::ALL {
            let (measured, predicted) = (total.measured(report), total.predicted(prediction));
            if measured != predicted && (total != Total::Repeats || repeats_are_exact(plan)) {
                findings.push(format!("{}: measured {measured}, predicted {predicted}", total.words()));
            }
        }
    }
    findings
}

fn upheld(plan: &Plan, report: &Report, exposures: u64) -> String {
    let claim = plan.claim.name();
    let (all, booked) = (report.payments.intended, report.payments.booked);
    let duplicated = report.count(Class::Duplicated);
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

fn violated(plan: &Plan, report: &Report, broken: &[Class]) -> String {
    let all = report.payments.intended;
    let currency = &plan.currency;
    let phrase = |class: &Class| {
        let count = report.count(*class);
        let loss = MinorUnits(-plan.amount.0.saturating_mul(i64::try_from(count).unwrap_or(i64::MAX)));
        match class {
            Class::AcknowledgedButLost => {
                format!("{count} of {all} payments were acknowledged and never booked ({loss} {currency})")
            }
            Class::AnsweredButLost => format!("{count} of {all} payments were answered 2xx and never booked"),
            Class::RejectedButBooked => format!("{count} of {all} payments were refused and booked all the same"),
            Class::Phantom => format!("{count} entries were booked that nobody asked for"),
            Class::Mismatched => format!("{count} of {all} payments were booked other than they were acknowledged"),
            Class::SelfDuplicated => format!("{count} of {all} payments were booked more often than they arrived"),
            Class::Duplicated => {
                let excess = MinorUnits(report.lab.excess_minor);
                format!("{count} of {all} payments were booked more than once (+{excess} {currency})")
            }
            Class::Undelivered => format!("{count} of {all} payments were never booked ({loss} {currency})"),
            Class::Lost => format!("{count} of {all} payments were given up unbooked"),
        }
    };
    let mut parts: Vec<_> = broken.iter().map(phrase).collect();
    if all == report.payments.booked {
        parts.push("none lost".to_owned());
    }
    let first = broken.iter().filter_map(|class| report.cases.get(class)?.first.first()).map(|case| case.payment).min();
    parts.extend(first.map(|payment| format!("first: payment {payment}")));
    format!("VIOLATED {}: {}.", plan.claim.name(), parts.join("; "))
}

fn inconclusive(doubts: &[String]) -> String {
    let why = doubts.first().map_or("no reason was noted", String::as_str);
    let more = match doubts.len() {
        0 | 1 => String::new(),
        several => format!(" (and {} more doubts)", several - 1),
    };
    format!("INCONCLUSIVE: {why}{more}; nothing is claimed.")
}

fn doubt_text(doubt: Doubt, Note { count, first, detail }: &Note) -> String {
    let text = match doubt {
        Doubt::EnvironmentChanged => format!("{count} of the lab's pods changed while the load ran"),
        Doubt::ReportMissing => format!("no whole report from {count} of the load pods"),
        Doubt::LoadStopped => "the load ended early".to_owned(),
        Doubt::LoadIncomplete => format!("{count} payments have no end"),
        Doubt::PortShortage => format!("the client found no free port {count} times"),
        Doubt::LedgerFlawed => "the ledger is not whole".to_owned(),
        Doubt::RecordFlawed => "the proxy's record is not whole".to_owned(),
        Doubt::Unrecorded => format!("the proxy could not write down {count} requests (is its disk full?)"),
        Doubt::AttemptsDiffer => format!("the proxy's record and the client's attempts differ by {count}"),
        Doubt::CoinsDiffer => format!("{count} requests were not treated as the seed says"),
        Doubt::FaultsFailed => format!("{count} faults were ordered and not carried out"),
        Doubt::Lapsed => format!("{count} requests passed because the proxy's rules had lapsed"),
        Doubt::Strangers => format!("{count} requests through the proxy were not this load's"),
        Doubt::UnintendedResets => format!("{count} connections were reset though no fault said so"),
        Doubt::RequestsDiffer => "the service has not counted the requests it was sent".to_owned(),
        Doubt::ConnectionsDiffer => "connections and attempts differ".to_owned(),
        Doubt::FaultSilent => format!("{count} faults never struck"),
        Doubt::TooFewExposures => "too few chances to break the claim".to_owned(),
    };
    let first = first.map(|payment| format!(", first payment {payment}")).unwrap_or_default();
    let detail = detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
    format!("{text}{first}{detail}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        report::CASES_KEPT,
        stories::{Evidence, lesson, safe_lesson},
    };

    fn sentence(changes: &serde_json::Value) -> String {
        Evidence::of(lesson(changes)).conclude().1.sentence
    }

    #[test]
    fn each_claim_is_judged_by_its_own_measure() {
        let all = [
            sentence(&json!({"claim": "AtMostOnce", "client": {"retry": {"maxAttempts": 1}}})),
            sentence(&json!({"claim": "AtLeastOnce"})),
            sentence(&json!({"claim": "AtMostOnce"})),
            sentence(&json!({"claim": "AtLeastOnce", "client": {"retry": {"maxAttempts": 1}}})),
        ];
        expect_test::expect![[r#"
            UPHELD AtMostOnce: none of 1000 payments was booked more than once; 305 were not booked (-305.00 EUR).
            UPHELD AtLeastOnce: 1000 of 1000 payments were booked, 329 more than once, 0 given up unbooked; 624 attempts that did not arrive exposed the claim.
            VIOLATED AtMostOnce: 329 of 1000 payments were booked more than once (+455.00 EUR); none lost; first: payment 1.
            UPHELD AtLeastOnce: 695 of 1000 payments were booked, 0 more than once, 305 given up unbooked; 305 attempts that did not arrive exposed the claim."#]].assert_eq(&all.join("\n"));
    }

    #[test]
    fn nothing_is_upheld_that_was_never_put_to_the_test() {
        let all = [
            sentence(&json!({"faults": []})),
            sentence(&json!({"claim": "AtLeastOnce", "faults": []})),
            sentence(
                &json!({"payments": {"count": 3}, "minExposures": 100, "client": {"idempotencyKey": "PerPayment"}, "service": {"dedup": "UniqueKey"}}),
            ),
        ];
        expect_test::expect![[r#"
            INCONCLUSIVE: too few chances to break the claim: 0 repeats of a payment that had arrived, 1 are needed; nothing is claimed.
            INCONCLUSIVE: too few chances to break the claim: 0 attempts that did not arrive, 1 are needed; nothing is claimed.
            INCONCLUSIVE: too few chances to break the claim: 2 repeats of a payment that had arrived, 100 are needed; nothing is claimed."#]].assert_eq(&all.join("\n"));
    }

    #[test]
    fn a_fault_that_never_struck_is_a_doubt() {
        let mut evidence = Evidence::of(safe_lesson());
        let silent = Evidence::of(lesson(&json!({
            "client": {"idempotencyKey": "PerPayment"},
            "service": {"dedup": "UniqueKey"},
            "faults": [{"name": "request-lost", "probability": 0.0, "reset": {"at": "BeforeRequest"}}],
        })));
        evidence.requests = silent.requests;
        let (_, conclusion) = evidence.conclude();
        assert_eq!(conclusion.verdict, Verdict::Inconclusive);
        assert!(conclusion.doubts.iter().any(|doubt| doubt.contains("never struck")), "{:?}", conclusion.doubts);
    }

    #[test]
    fn the_bound_of_the_bug_rate_falls_with_the_exposures() {
        let shown: Vec<_> = [0, 1, 100, 455].map(|n| format!("{:.4}", bug_rate_bound(n))).into();
        assert_eq!(shown, ["1.0000", "0.9500", "0.0295", "0.0066"]);
    }

    #[test]
    fn a_report_fits_a_termination_message_however_much_is_wrong() {
        let (mut report, _) = Evidence::of(lesson(&json!({}))).conclude();
        assert!(report.to_json_within(4096).len() <= 4096);
        let case = report.cases[&Class::Duplicated].clone();
        assert_eq!(case.first.len(), CASES_KEPT);
        for class in
            [Class::AcknowledgedButLost, Class::Mismatched, Class::SelfDuplicated, Class::Lost, Class::Undelivered]
        {
            report.cases.insert(class, case.clone());
        }
        for doubt in [Doubt::LoadStopped, Doubt::LedgerFlawed, Doubt::RecordFlawed, Doubt::CoinsDiffer] {
            report.doubt(doubt, Note { count: 1, first: Some(1), detail: Some("x".repeat(300)) });
        }
        let json = report.to_json_within(2048);
        assert!(json.len() <= 2048, "{}", json.len());
        let read: Report = serde_json::from_str(&json).unwrap();
        assert_eq!(read.count(Class::Duplicated), 329);
    }
}
