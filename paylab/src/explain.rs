//! `paylab explain`: the fate of one payment as a sequence diagram of client, proxy, service and ledger.

use std::fmt::{self, Display, Formatter};

use anstream::println;
use clap::Args;
use paylab_experiment::{
    file::Experiment,
    history::Belief,
    money::MinorUnits,
    payment::PaymentId,
    plan::Plan,
    predict::{Effect, Step, depends_on, walk},
    spec::{Dedup, Point},
};

use crate::{
    exit::Exit,
    source::Source,
    terminal::{counted, entry_count},
};

/// Of a longer story, the middle is left out.
const STEPS_SHOWN: usize = 40;

/// What `paylab explain` is told.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Which experiment.
    #[command(flatten)]
    pub source: Source,
    /// The payment's index, from 0
    #[arg(value_name = "PAYMENT")]
    pub payment: u64,
}

/// Runs the command.
///
/// # Errors
/// The experiment is refused, or has no such payment.
pub fn explain(options: &Options) -> anyhow::Result<Exit> {
    let Experiment { plan, .. } = options.source.read()?;
    if options.payment >= plan.count {
        let fault = format!("{} is no payment of this experiment; use 0 to {}", options.payment, plan.count - 1);
        return Err(options.source.refuse("PAYMENT", fault).into());
    }
    println!("{}", Story::of(&plan, PaymentId(options.payment)));
    Ok(Exit::AsExpected)
}

/// One payment, attempt by attempt.
struct Story<'a> {
    plan: &'a Plan,
    payment: PaymentId,
    steps: Vec<Step>,
    belief: Belief,
}

impl<'a> Story<'a> {
    fn of(plan: &'a Plan, payment: PaymentId) -> Self {
        let mut steps = Vec::new();
        let belief = walk(plan, payment, |step| steps.push(*step));
        Self { plan, payment, steps, belief }
    }

    fn entries(&self) -> u64 {
        self.steps.iter().filter(|step| matches!(step.effect, Effect::Booked(_))).count() as u64
    }

    /// One word for what has become of the payment, and the money it has cost or saved.
    fn judgement(&self) -> String {
        match (self.entries(), self.belief) {
            (0, _) => format!("LOST ({} {})", MinorUnits(-self.plan.amount.0), self.plan.currency),
            (1, Belief::Acknowledged) => "booked once, and the client knows".to_owned(),
            (1, Belief::Untried | Belief::Rejected | Belief::Unknown) => {
                "booked once, and the client does not know".to_owned()
            }
            (entries, _) => {
                let excess = i64::try_from(entries - 1).unwrap_or(i64::MAX).saturating_mul(self.plan.amount.0);
                format!("DUPLICATED (+{} {})", MinorUnits(excess), self.plan.currency)
            }
        }
    }

    fn write_step(&self, f: &mut Formatter<'_>, step: &Step) -> fmt::Result {
        let fault = step.draw.effective.map_or("", |index| self.plan.faults[index].name.as_str());
        for (number, lanes) in lanes(step, fault, self.plan.service.dedup).into_iter().enumerate() {
            let attempt = if number == 0 { step.id.attempt.to_string() } else { String::new() };
            writeln!(f, "  {attempt:<6}{lanes}")?;
        }
        Ok(())
    }
}

impl Display for Story<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let attempts = counted(self.steps.len() as u64, "attempt");
        let entries = entry_count(self.entries());
        writeln!(f, "payment {}   {attempts}, {entries}: {}\n", self.payment.0, self.judgement())?;
        writeln!(f, "      client             proxy              service            ledger")?;
        let hidden = self.steps.len().saturating_sub(STEPS_SHOWN);
        let (head, tail) = self.steps.split_at(if hidden > 0 { STEPS_SHOWN / 2 } else { self.steps.len() });
        head.iter().try_for_each(|step| self.write_step(f, step))?;
        if hidden > 0 {
            writeln!(f, "  ...   {}", counted(hidden as u64, "more attempt"))?;
        }
        tail.iter().skip(hidden).try_for_each(|step| self.write_step(f, step))?;
        let belief = match self.belief {
            Belief::Acknowledged => "it is paid",
            Belief::Rejected => "it is certainly not paid",
            Belief::Untried | Belief::Unknown => "nothing: it may be paid or not",
        };
        let ledger = match self.entries() {
            0 => "not paid",
            1 => "paid once",
            2 => "paid twice",
            _ => "paid more than twice",
        };
        write!(f, "  the client believes: {belief}   the ledger says: {ledger}")?;
        match depends_on(self.plan) {
            Some(reason) => write!(f, "\n  a real run may differ, because it depends on timing: {reason}"),
            None => Ok(()),
        }
    }
}

// Client to proxy, proxy to service: each lane begins at the line of life of its left end.
const OPEN: &str = "|                  ";
const POST: &str = "|---- POST ------->";
const ON: &str = "|---- POST -------->";
const RST: &str = "|<----- RST -------|";

/// The lines of one attempt.
fn lanes(step: &Step, fault: &str, dedup: Dedup) -> Vec<String> {
    let (status, booking) = answer(step.effect, dedup);
    let forwarded = format!("{POST}{ON}{booking}");
    let back = format!("<----- {status} --------|");
    let answered = format!("|<----- {status} -------|{back}");
    let reset = RST.to_owned();
    match step.point {
        None => vec![forwarded, answered],
        Some(Point::Connect) => vec![format!("|---- SYN -------->x {fault}"), reset],
        Some(Point::BeforeRequest) => vec![format!("{POST}x {fault}"), reset],
        Some(Point::MidRequest) => vec![format!("{POST}|---- PO ---x {fault}"), format!("{RST}----- RST ------->|")],
        Some(Point::AfterRequest) => {
            vec![forwarded, format!("{RST}                   | {fault}"), format!("{OPEN}|{back} answered to nobody")]
        }
        Some(Point::BeforeResponse) => vec![forwarded, format!("{OPEN}x{back} {fault}"), reset],
        Some(Point::MidResponse) => vec![forwarded, format!("|<- part of {status} --x{back} {fault}"), reset],
        Some(Point::AfterResponse) => vec![forwarded, answered, format!("{RST} {fault}")],
    }
}

/// What the service answers, and what it writes into the ledger.
fn answer(effect: Effect, dedup: Dedup) -> (u16, String) {
    let late = dedup == Dedup::AckThenApply;
    match effect {
        Effect::Booked(entry) => (if late { 202 } else { 200 }, format!("|--- entry {entry} ---->|")),
        Effect::Repeat if late => (202, "|    a repeat     |".to_owned()),
        Effect::Repeat if dedup == Dedup::Replay => (200, "|    a repeat     |".to_owned()),
        Effect::Repeat => (208, "|    a repeat     |".to_owned()),
        Effect::Refused(status) => (status, "|    refused      |".to_owned()),
        Effect::Unseen => (0, String::new()),
    }
}
