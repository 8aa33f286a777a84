//! Text for people at a terminal. Numbers come from the outcome; this module only lays them out.

use std::fmt::{self, Display, Formatter};

use anstyle::{AnsiColor, Style};
use paylab_core::{
    claim::{Claim, Verdict},
    judge::anomaly::{Anomaly, Example},
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
    /// The prediction for the seed.
    pub prediction: &'a Prediction,
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
        let (count, amount, currency) = (plan.count, plan.amount, &plan.currency);
        let target = match &plan.target {
            Target::Ours(service) => format!("dedup {:?}", service.dedup),
        };
        let bold = Style::new().bold();
        write!(
            f,
            "{bold}{experiment}{bold:#}   {count} payments of {amount} {currency}, {tried}, {target}   seed {}",
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
            let measured = self.measured(total).map(|count| count.to_string()).unwrap_or_default();
            let exact =
                depends_on_timing(self.plan).is_none() && (total != Total::Repeats || repeats_are_exact(self.plan));
            let predicted = if exact { total.predicted(self.prediction).to_string() } else { "-".to_owned() };
            let expected = theory.map(|theory| total.expected(&theory));
            let expected = expected.map(|e| format!("{:>7.1}   {}..{}", e.mean, e.low, e.high)).unwrap_or_default();
            let line = format!("  {:<26}{measured:>9}    {predicted:>9}    {expected}", total.words());
            writeln!(f, "{}", line.trim_end())?;
        }
        if let Some(reason) = depends_on_timing(self.plan) {
            writeln!(f, "  nothing is predicted, because the result depends on timing: {reason}")?;
        }
        Ok(())
    }
}

impl TotalsTable<'_> {
    fn measured(&self, total: Total) -> Option<u64> {
        self.outcome.map(|outcome| total.measured(&outcome.report))
    }

    /// Totals that are zero in every column are left out, except the most important ones.
    fn is_shown(&self, total: Total) -> bool {
        match total {
            Total::Attempts | Total::Entries | Total::Duplicated | Total::Lost => true,
            Total::Acknowledged | Total::Repeats | Total::BookedUnknown => {
                total.predicted(self.prediction) > 0 || self.measured(total).is_some_and(|count| count > 0)
            }
        }
    }
}

impl Display for TextReport<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let outcome = self.0;
        let Outcome { plan, setting, report, prediction, .. } = outcome;
        writeln!(f, "{}\n", Headline { experiment: &setting.experiment, plan })?;
        write_verdict(f, outcome)?;
        write!(f, "\n{}", TotalsTable { plan, prediction, outcome: Some(outcome) })?;
        let (booked, currency) = (MinorUnits(report.booked_minor), &plan.currency);
        let difference = report.booked_minor - plan.intended().0;
        let sign = if difference > 0 { "+" } else { "" };
        writeln!(
            f,
            "  {:<22}{booked:>13} {currency}  of {} {currency} intended   difference {sign}{} {currency}\n",
            "booked",
            plan.intended(),
            MinorUnits(difference)
        )?;
        write_faults(f, outcome)?;
        write_lab(f, outcome)?;
        write_proof(f, outcome)?;
        write_end(f, outcome)
    }
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
    for (fault, tally) in faults.iter().zip(&outcome.report.faults) {
        let FaultTally { drawn, fired, effective } = tally;
        let effect = fault.effect;
        let met = match fired - effective {
            0 => String::new(),
            others => format!("   ({others} met an earlier fault)"),
        };
        let name = &fault.name;
        writeln!(
            f,
            "  {label:<10}{name:<names$}   {effect:<17}   drawn {drawn}   fired {fired}   effective {effective}{met}"
        )?;
        label = "";
    }
    Ok(())
}

fn write_lab(f: &mut Formatter<'_>, outcome: &Outcome) -> fmt::Result {
    let (connections, attempts) = (outcome.report.lab.connections, outcome.report.attempts.reached());
    let relation = if connections == attempts { "=" } else { "for" };
    let (unintended, exposures) = (outcome.report.lab.unintended_resets, outcome.exposures);
    let exposed = match outcome.plan.claim {
        Claim::AtLeastOnce => "attempts that did not arrive",
        Claim::AtMostOnce | Claim::ExactlyOnce => "repeats",
    };
    write!(f, "  {:<10}{connections} connections {relation} {attempts} attempts", "lab")?;
    writeln!(f, "   unintended resets {unintended}   {exposures} {exposed} exposed the claim")?;
    for doubt in sentence::doubts(outcome) {
        writeln!(f, "  {:<10}{doubt}", "doubt")?;
    }
    for finding in sentence::findings(outcome) {
        writeln!(f, "  {:<10}{finding}", "finding")?;
    }
    Ok(())
}

fn write_proof(f: &mut Formatter<'_>, outcome: &Outcome) -> fmt::Result {
    for anomaly in &outcome.broken {
        let Some(examples) = outcome.report.anomalies.get(anomaly) else { continue };
        let shown = examples.first.iter().take(PROOFS_SHOWN);
        let mut parts: Vec<_> = shown.map(proof).collect();
        if *anomaly == Anomaly::Phantom {
            parts.extend(outcome.report.phantom_references.iter().cloned());
        }
        let more = examples.count.saturating_sub(parts.len() as u64);
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
    let Setting { experiment: _, file, concurrency: _, database, elapsed } = setting;
    if let (Some(elapsed), Some(database)) = (elapsed, database) {
        write!(f, "\n  {:.2} s on {database}", elapsed.as_secs_f64())?;
    }
    let (Some(file), Some(repeat)) = (file, sentence::repeat_command(outcome)) else { return Ok(()) };
    write!(f, "   again: {repeat}")?;
    let examples = report.anomalies.values().flat_map(|examples| &examples.first);
    match examples.map(|example| example.payment).min() {
        Some(payment) => write!(f, "\n  explain one: paylab explain {file} {payment} --seed {}", plan.seed()),
        None => Ok(()),
    }
}
