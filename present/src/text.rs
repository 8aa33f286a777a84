//! Text for people at a terminal. Numbers come from the outcome; this module only lays them out.

use std::fmt::{self, Display, Formatter};

use anstyle::{AnsiColor, Style};
use paylab_core::{
    claim::Verdict,
    exposures::ExposureKind,
    judge::{
        anomaly::{Anomaly, Example},
        report::ProxyTotals,
    },
    money::MinorUnits,
    outcome::{Outcome, Setting, totals::Total},
    plan::Plan,
    prediction::{Prediction, depends_on_timing, repeats_are_exact},
    targets::Target,
    theory::Theory,
    witness::record::FaultTally,
};

use crate::{
    counting::{counted, entries},
    sentence,
};

/// At most this many payments are shown as proof of an anomaly.
const PROOFS_SHOWN: usize = 3;

/// The report of a run.
#[derive(Debug, Clone, Copy)]
pub struct TextReport<'a>(pub &'a Outcome);

/// The first line: what is measured or predicted.
#[derive(Debug, Clone, Copy)]
pub struct Headline<'a> {
    /// The name of the experiment.
    pub experiment: &'a str,
    /// Its plan.
    pub plan: &'a Plan,
}

/// The totals side by side: measured, predicted, expected.
#[derive(Debug, Clone, Copy)]
pub struct TotalsTable<'a> {
    /// What was to be done.
    pub plan: &'a Plan,
    /// The prediction for the seed; `None`: there is none, because the load did not run to its end.
    pub prediction: Option<&'a Prediction>,
    /// The outcome; `None` if nothing was measured.
    pub outcome: Option<&'a Outcome>,
}

impl Display for Headline<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { experiment, plan } = self;
        let tried = match plan.client.max_attempts {
            None => "retried until acknowledged".to_owned(),
            Some(1) => "tried once".to_owned(),
            Some(most) => format!("tried at most {most} times"),
        };
        let recovery = plan.client.recovery.map_or_else(String::new, |recovery| {
            format!(", then up to {} after the load", counted(u64::from(recovery.attempts), "more attempt"))
        });
        let (count, amount, currency) = (plan.count, plan.amount, &plan.currency);
        let target = match &plan.target {
            Target::Ours(service) => format!("dedup {:?}", service.dedup),
            Target::Theirs(service) => {
                service.model.map_or_else(|| "your service".to_owned(), |model| format!("your service, like {model:?}"))
            }
        };
        let bold = Style::new().bold();
        write!(
            f,
            "{bold}{experiment}{bold:#}   {count} payments of {amount} {currency}, {tried}{recovery}, {target}   seed {}",
            plan.seed()
        )
    }
}

impl Display for TotalsTable<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let theory = Theory::of(self.plan);
        let measured_head = if self.outcome.is_some() { "measured" } else { "" };
        let theory_head = if theory.is_some() { "theory, 95 %" } else { "" };
        writeln!(f, "  {:<26}{measured_head:>9}    {:>9}    {theory_head}", "", "predicted")?;
        for total in Total::ALL.into_iter().filter(|total| self.is_shown(*total)) {
            let measured = match self.outcome {
                None => String::new(),
                Some(outcome) => {
                    total.measured(&outcome.report).map_or_else(|| "-".to_owned(), |count| count.to_string())
                }
            };
            let exact =
                depends_on_timing(self.plan).is_none() && (total != Total::Repeats || repeats_are_exact(self.plan));
            let predicted = self.prediction.filter(|_| exact);
            let predicted = predicted.map_or_else(|| "-".to_owned(), |it| total.predicted(it).to_string());
            let expected = theory.and_then(|theory| total.expected(self.plan, &theory));
            let expected = expected.map(|e| format!("{:>7.1}   {}..{}", e.mean, e.low, e.high)).unwrap_or_default();
            let line = format!("  {:<26}{measured:>9}    {predicted:>9}    {expected}", total.words());
            writeln!(f, "{}", line.trim_end())?;
        }
        if let Some(reason) = depends_on_timing(self.plan) {
            writeln!(f, "  nothing is predicted, because the result depends on {reason}")?;
        }
        Ok(())
    }
}

impl TotalsTable<'_> {
    /// Totals that are zero in every column are left out, except the most important ones.
    fn is_shown(&self, total: Total) -> bool {
        match total {
            Total::Attempts | Total::Entries | Total::Duplicated | Total::Lost => true,
            Total::Acknowledged | Total::Repeats | Total::BookedUnknown => {
                let measured = self.outcome.and_then(|outcome| total.measured(&outcome.report));
                let predicted = self.prediction.map(|prediction| total.predicted(prediction));
                [measured, predicted].into_iter().flatten().any(|count| count > 0)
            }
        }
    }
}

impl Display for TextReport<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let outcome = self.0;
        let Outcome { plan, setting, report, .. } = outcome;
        writeln!(f, "{}\n", Headline { experiment: &setting.experiment, plan })?;
        write_verdict(f, outcome)?;
        write!(f, "\n{}", TotalsTable { plan, prediction: report.prediction.as_ref(), outcome: Some(outcome) })?;
        write_booked(f, outcome)?;
        write_faults(f, outcome)?;
        write_lab(f, outcome)?;
        write_proof(f, outcome)?;
        write_end(f, outcome)
    }
}

fn write_booked(f: &mut Formatter<'_>, outcome: &Outcome) -> fmt::Result {
    let (intended, currency) = (outcome.plan.intended(), &outcome.plan.currency);
    let Some(booked) = outcome.report.booked_minor() else {
        return writeln!(f, "  {:<22}{:>13} {currency}  of {intended} {currency} intended\n", "booked", "not read");
    };
    let difference = booked.saturating_sub(intended.0);
    let sign = if difference > 0 { "+" } else { "" };
    let (booked, difference) = (MinorUnits(booked), MinorUnits(difference));
    writeln!(
        f,
        "  {:<22}{booked:>13} {currency}  of {intended} {currency} intended   difference {sign}{difference} {currency}\n",
        "booked"
    )
}

fn write_verdict(f: &mut Formatter<'_>, outcome: &Outcome) -> fmt::Result {
    let colour = match outcome.verdict {
        Verdict::Inconclusive => AnsiColor::Yellow,
        Verdict::Upheld => AnsiColor::Green,
        Verdict::Violated => AnsiColor::Red,
    };
    let style = colour.on_default().bold();
    let sentence = sentence::verdict(outcome);
    let (verdict, rest) = sentence.split_once(' ').unwrap_or((&sentence, ""));
    writeln!(f, "  {style}{verdict}{style:#} {rest}")?;
    let expect = outcome.plan.expect;
    match outcome.is_as_expected() {
        Some(true) => writeln!(f, "  This is what the experiment expects (expect: {expect:?})."),
        Some(false) => writeln!(f, "  This is NOT what the experiment expects (expect: {expect:?})."),
        None => Ok(()),
    }
}

fn write_faults(f: &mut Formatter<'_>, outcome: &Outcome) -> fmt::Result {
    let faults = outcome.plan.faults();
    let names = faults.iter().map(|fault| fault.name.len()).max().unwrap_or(0);
    let mut label = "faults";
    for (index, fault) in faults.iter().enumerate() {
        let tally = outcome.report.record.as_ref().and_then(|record| record.faults.get(index));
        let done = tally.map_or_else(|| "not read".to_owned(), fault_text);
        let (name, effect) = (&fault.name, fault.effect);
        writeln!(f, "  {label:<10}{name:<names$}   {effect:<17}   {done}")?;
        label = "";
    }
    Ok(())
}

fn fault_text(FaultTally { drawn, fired, effective }: &FaultTally) -> String {
    let met = match fired.saturating_sub(*effective) {
        0 => String::new(),
        others => format!("   ({others} met an earlier fault)"),
    };
    format!("drawn {drawn}   fired {fired}   effective {effective}{met}")
}

fn write_lab(f: &mut Formatter<'_>, outcome: &Outcome) -> fmt::Result {
    let (report, attempts) = (&outcome.report, outcome.report.attempts.reached());
    match &report.record {
        None => write!(f, "  {:<10}{attempts} attempts   record not read", "lab")?,
        Some(record) => {
            let ProxyTotals { connections, unintended_resets, .. } = record.proxy;
            let relation = if connections == attempts { "=" } else { "for" };
            write!(f, "  {:<10}{connections} connections {relation} {attempts} attempts", "lab")?;
            write!(f, "   unintended resets {unintended_resets}")?;
        }
    }
    let kind = ExposureKind::of(outcome.plan.claim, &outcome.plan.client);
    match outcome.exposures {
        None => writeln!(f)?,
        Some(exposures) => writeln!(f, "   {exposures} {} exposed the claim", exposure_words(kind))?,
    }
    let answers = report.answers.words();
    if !answers.is_empty() {
        writeln!(f, "  {:<10}{answers}", "answers")?;
    }
    let rules = sentence::rules(outcome);
    if !rules.is_empty() {
        writeln!(f, "  {:<10}{rules}", "rules")?;
    }
    for doubt in sentence::doubts(outcome) {
        writeln!(f, "  {:<10}{doubt}", "doubt")?;
    }
    for finding in sentence::findings(outcome) {
        writeln!(f, "  {:<10}{finding}", "finding")?;
    }
    Ok(())
}

const fn exposure_words(kind: ExposureKind) -> &'static str {
    match kind {
        ExposureKind::Repeats => "repeats",
        ExposureKind::Undelivered => "attempts that did not arrive",
        ExposureKind::Arrived => "requests that arrived",
    }
}

fn write_proof(f: &mut Formatter<'_>, outcome: &Outcome) -> fmt::Result {
    for anomaly in &outcome.broken {
        let examples = outcome.report.anomalies.get(anomaly).into_iter().flat_map(|examples| &examples.first);
        let mut parts: Vec<_> = examples.take(PROOFS_SHOWN).map(proof).collect();
        if *anomaly == Anomaly::Phantom {
            let ledger = outcome.report.ledger.as_ref();
            parts.extend(ledger.into_iter().flat_map(|ledger| &ledger.phantom_references).cloned());
        }
        let more = outcome.report.count(*anomaly).saturating_sub(parts.len() as u64);
        if more > 0 {
            parts.push(format!("{more} more"));
        }
        writeln!(f, "  {:<10}{}", "proof", parts.join("    "))?;
    }
    Ok(())
}

fn proof(Example { payment, attempts, entries: booked }: &Example) -> String {
    format!("payment {payment}: {}, {}", counted(*attempts, "attempt"), entries(*booked))
}

fn write_end(f: &mut Formatter<'_>, outcome: &Outcome) -> fmt::Result {
    let Outcome { plan, setting, report, .. } = outcome;
    let Setting { experiment: _, file, concurrency: _, target: _, database, evidence, elapsed, series: _ } = setting;
    if let (Some(elapsed), Some(database)) = (elapsed, database) {
        write!(f, "\n  {:.2} s on {database}", elapsed.as_secs_f64())?;
    }
    let (Some(file), Some(repeat)) = (file, sentence::repeat_command(outcome)) else { return Ok(()) };
    write!(f, "   again: {repeat}")?;
    let examples = report.anomalies.values().flat_map(|examples| &examples.first);
    match (examples.map(|example| example.payment).min(), evidence) {
        (Some(payment), Some(evidence)) => write!(f, "\n  explain one: paylab explain {evidence} {payment}"),
        // What a service of somebody else's did is known from evidence only.
        (Some(payment), None) if matches!(plan.target, Target::Theirs(_)) => {
            write!(f, "\n  explain one: run it again with --evidence DIR, then paylab explain DIR {payment}")
        }
        (Some(payment), None) => write!(f, "\n  explain one: paylab explain {file} {payment} --seed {}", plan.seed()),
        (None, _) => Ok(()),
    }
}
