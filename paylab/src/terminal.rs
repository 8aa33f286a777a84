//! What a run and a prediction look like on a terminal. Numbers come from elsewhere; here they only get their places.

use std::fmt::{self, Display, Formatter};

use anstyle::{AnsiColor, Style};
use paylab_experiment::{
    money::MinorUnits,
    plan::Plan,
    predict::{Prediction, depends_on, repeats_are_exact},
    record::FaultTally,
    report::{Case, Class},
    status::Verdict,
    theory::Theory,
    totals::Total,
    verdict::Conclusion,
};

use crate::{
    run::{Measured, Options},
    source::Source,
};

/// So many payments are shown as proof.
const PROOFS_SHOWN: usize = 3;

/// The report of a run.
pub(crate) struct Report<'a> {
    /// The experiment's name.
    pub(crate) name: &'a str,
    pub(crate) plan: &'a Plan,
    pub(crate) measured: &'a Measured,
    pub(crate) options: &'a Options,
}

/// The first line: what is about to be, or was, measured.
pub(crate) struct Headline<'a> {
    pub(crate) name: &'a str,
    pub(crate) plan: &'a Plan,
}

/// Totals side by side.
pub(crate) struct Table<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) prediction: &'a Prediction,
    /// Absent where nothing was measured.
    pub(crate) report: Option<&'a paylab_experiment::report::Report>,
}

impl Display for Headline<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { name, plan } = self;
        let tried = match plan.client.max_attempts {
            None => "retried until acknowledged".to_owned(),
            Some(1) => "tried once".to_owned(),
            Some(most) => format!("tried at most {most} times"),
        };
        let (count, amount, currency, dedup) = (plan.count, plan.amount, &plan.currency, plan.service.dedup);
        let bold = Style::new().bold();
        write!(
            f,
            "{bold}{name}{bold:#}   {count} payments of {amount} {currency}, {tried}, dedup {dedup:?}   seed {}",
            plan.seed()
        )
    }
}

impl Display for Table<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let theory = Theory::of(self.plan);
        let measured_head = if self.report.is_some() { "measured" } else { "" };
        let theory_head = if theory.is_some() { "theory, 95 %" } else { "" };
        writeln!(f, "  {:<26}{measured_head:>9}    {:>9}    {theory_head}", "", "predicted")?;
        for total in Total::ALL.into_iter().filter(|total| self.is_shown(*total)) {
            let measured = self.report.map(|report| total.measured(report).to_string()).unwrap_or_default();
            let exact = depends_on(self.plan).is_none() && (total != Total::Repeats || repeats_are_exact(self.plan));
            let predicted = if exact { total.predicted(self.prediction).to_string() } else { "-".to_owned() };
            let expected = theory.map(|theory| total.expected(&theory));
            let expected = expected.map(|e| format!("{:>7.1}   {}..{}", e.mean, e.low, e.high)).unwrap_or_default();
            let line = format!("  {:<26}{measured:>9}    {predicted:>9}    {expected}", total.words());
            writeln!(f, "{}", line.trim_end())?;
        }
        if let Some(reason) = depends_on(self.plan) {
            writeln!(f, "  nothing is predicted, because the result depends on timing: {reason}")?;
        }
        Ok(())
    }
}

impl Table<'_> {
    /// Totals that are zero in every column are left out, but for those that everyone looks for.
    fn is_shown(&self, total: Total) -> bool {
        match total {
            Total::Attempts | Total::Entries | Total::Duplicated | Total::Lost => true,
            Total::Acknowledged | Total::Repeats | Total::BookedUnknown => {
                total.predicted(self.prediction) > 0 || self.report.is_some_and(|report| total.measured(report) > 0)
            }
        }
    }
}

impl Display for Report<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { name, plan, measured: Measured { report, prediction, conclusion, .. }, .. } = self;
        writeln!(f, "{}\n", Headline { name, plan })?;
        write_verdict(f, plan, conclusion)?;
        write!(f, "\n{}", Table { plan, prediction, report: Some(report) })?;
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
        self.write_faults(f)?;
        self.write_lab(f)?;
        self.write_proof(f)?;
        self.write_end(f)
    }
}

fn write_verdict(f: &mut Formatter<'_>, plan: &Plan, conclusion: &Conclusion) -> fmt::Result {
    let colour = match (conclusion.verdict, conclusion.is_as_expected(plan.expect)) {
        (Verdict::Inconclusive, _) => AnsiColor::Yellow,
        (Verdict::Upheld, _) => AnsiColor::Green,
        (Verdict::Violated, _) => AnsiColor::Red,
    };
    let style = colour.on_default().bold();
    let (verdict, rest) = conclusion.sentence.split_once(' ').unwrap_or((&conclusion.sentence, ""));
    writeln!(f, "  {style}{verdict}{style:#} {rest}")?;
    match conclusion.is_as_expected(plan.expect) {
        Some(true) => writeln!(f, "  This is what the experiment expects (expect: {:?}).", plan.expect),
        Some(false) => writeln!(f, "  This is NOT what the experiment expects (expect: {:?}).", plan.expect),
        None => Ok(()),
    }
}

impl Report<'_> {
    fn write_faults(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let names = self.plan.faults.iter().map(|fault| fault.name.len()).max().unwrap_or(0);
        let mut label = "faults";
        for (fault, tally) in self.plan.faults.iter().zip(&self.measured.report.faults) {
            let FaultTally { drawn, fired, effective } = tally;
            let at = format!("{:?}", fault.reset.at);
            let met = match fired - effective {
                0 => String::new(),
                others => format!("   ({others} met an earlier fault)"),
            };
            let name = &fault.name;
            writeln!(
                f,
                "  {label:<10}{name:<names$}   at {at:<14}   drawn {drawn}   fired {fired}   effective {effective}{met}"
            )?;
            label = "";
        }
        Ok(())
    }

    fn write_lab(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Measured { report, conclusion, .. } = self.measured;
        let (connections, attempts) = (report.lab.connections, report.attempts.reached());
        let relation = if connections == attempts { "=" } else { "for" };
        let (unintended, exposures) = (report.lab.unintended_resets, conclusion.exposures);
        let exposed = match self.plan.claim {
            paylab_experiment::spec::Claim::AtLeastOnce => "attempts that did not arrive",
            _ => "repeats",
        };
        write!(f, "  {:<10}{connections} connections {relation} {attempts} attempts", "lab")?;
        writeln!(f, "   unintended resets {unintended}   {exposures} {exposed} exposed the claim")?;
        for doubt in &conclusion.doubts {
            writeln!(f, "  {:<10}{doubt}", "doubt")?;
        }
        for finding in &conclusion.findings {
            writeln!(f, "  {:<10}{finding}", "finding")?;
        }
        Ok(())
    }

    fn write_proof(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for class in &self.measured.conclusion.broken {
            let Some(cases) = self.measured.report.cases.get(class) else { continue };
            let shown = cases.first.iter().take(PROOFS_SHOWN).map(|Case { payment, attempts, entries }| {
                format!("payment {payment}: {}, {}", counted(*attempts, "attempt"), entry_count(*entries))
            });
            let mut parts: Vec<_> = shown.collect();
            if *class == Class::Phantom {
                parts.extend(self.measured.report.phantom_references.iter().cloned());
            }
            let more = cases.count.saturating_sub(parts.len() as u64);
            if more > 0 {
                parts.push(format!("{more} more"));
            }
            writeln!(f, "  {:<10}{}", "proof", parts.join("    "))?;
        }
        Ok(())
    }

    fn write_end(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { plan, measured, options, .. } = self;
        let file = options.source.name();
        let again = Again { source: &options.source, plan };
        write!(f, "\n  {:.2} s on {}   again: {again}", measured.took.as_secs_f64(), options.database)?;
        let cases = measured.report.cases.values().flat_map(|cases| &cases.first);
        match cases.map(|case| case.payment).min() {
            Some(payment) => write!(f, "\n  explain one: paylab explain {file} {payment} --seed {}", plan.seed()),
            None => Ok(()),
        }
    }
}

/// The command that repeats a run.
struct Again<'a> {
    source: &'a Source,
    plan: &'a Plan,
}

impl Display for Again<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "paylab run {} --seed {}", self.source.name(), self.plan.seed())?;
        match self.source.concurrency {
            Some(concurrency) => write!(f, " --concurrency {concurrency}"),
            None => Ok(()),
        }
    }
}

/// `1 entry`, `3 entries`.
pub(crate) fn entry_count(entries: u64) -> String {
    if entries == 1 { "1 entry".to_owned() } else { format!("{entries} entries") }
}

/// `1 attempt`, `3 attempts`.
pub(crate) fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
