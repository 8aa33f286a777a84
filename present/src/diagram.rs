//! The predicted course of one payment as a sequence diagram of client, proxy, service and ledger.

use std::fmt::{self, Display, Formatter};

use paylab_core::{
    fault::{effect::Effect, kill::Kill, point::Point, sampler::Fault},
    money::MinorUnits,
    payment::PaymentId,
    plan::Plan,
    prediction::{PredictedAttempt, depends_on_timing, repeats_are_exact, walk},
    targets::{
        Target,
        handling::Handling,
        ours::{Dedup, OurService},
    },
    witness::attempt::{AttemptOutcome, Belief, Uncertainty},
};

use crate::counting::{counted, entries};

/// If there are more attempts than this, those in the middle are left out.
const ATTEMPTS_SHOWN: usize = 40;

/// The predicted course of one payment, attempt by attempt.
#[derive(Debug, Clone)]
pub struct Diagram<'a> {
    plan: &'a Plan,
    payment: PaymentId,
    attempts: Vec<PredictedAttempt>,
    belief: Belief,
}

impl<'a> Diagram<'a> {
    /// The diagram of a payment of a plan.
    #[must_use]
    pub fn of(plan: &'a Plan, payment: PaymentId) -> Self {
        let mut attempts = Vec::new();
        let belief = walk(plan, payment, |attempt| attempts.push(*attempt));
        Self { plan, payment, attempts, belief }
    }

    fn entries(&self) -> u64 {
        self.attempts.iter().filter(|attempt| matches!(attempt.handling, Handling::Booked(_))).count() as u64
    }

    /// What has become of the payment, and by how much the booked money differs from the intended money.
    fn result(&self) -> String {
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

    fn write_attempt(&self, f: &mut Formatter<'_>, attempt: &PredictedAttempt) -> fmt::Result {
        let last_struck = self.plan.client.last_struck();
        if last_struck.is_some_and(|last| attempt.id.attempt == last + 1) {
            writeln!(f, "  after the load, on a path that no fault strikes any more:")?;
        }
        let fault = self.plan.sampler.effective(&attempt.draw);
        for (index, line) in lines(attempt, fault, &self.plan.target).into_iter().enumerate() {
            let number = if index == 0 { attempt.id.attempt.to_string() } else { String::new() };
            writeln!(f, "  {number:<6}{line}")?;
        }
        Ok(())
    }
}

impl Display for Diagram<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let attempts = counted(self.attempts.len() as u64, "attempt");
        let booked = entries(self.entries());
        writeln!(f, "payment {}   {attempts}, {booked}: {}\n", self.payment.0, self.result())?;
        writeln!(f, "      client             proxy              service            ledger")?;
        let hidden = self.attempts.len().saturating_sub(ATTEMPTS_SHOWN);
        let (head, tail) = self.attempts.split_at(if hidden > 0 { ATTEMPTS_SHOWN / 2 } else { self.attempts.len() });
        head.iter().try_for_each(|attempt| self.write_attempt(f, attempt))?;
        if hidden > 0 {
            writeln!(f, "  ...   {}", counted(hidden as u64, "more attempt"))?;
        }
        tail.iter().skip(hidden).try_for_each(|attempt| self.write_attempt(f, attempt))?;
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
        match depends_on_timing(self.plan) {
            Some(reason) => write!(f, "\n  a real run may differ, because it depends on {reason}"),
            None if repeats_are_exact(self.plan) => Ok(()),
            None => f.write_str(
                "\n  attempts are shown in the order of their numbers; which of them is booked and which is a repeat depends on timing",
            ),
        }
    }
}

// The messages between client and proxy, and between proxy and service. Each begins at the lifeline at its left end.
const OPEN: &str = "|                  ";
const POST: &str = "|---- POST ------->";
const ON: &str = "|---- POST -------->";
/// The first part of a request, from proxy to service.
const FIRST_PART: &str = "|---- PO ---------->|";
const RST: &str = "|<----- RST -------|";

/// The lines of one attempt.
fn lines(attempt: &PredictedAttempt, fault: Option<&Fault>, target: &Target) -> Vec<String> {
    let (status, booking) = answer(attempt.handling, target);
    let has_failed = attempt.outcome == AttemptOutcome::Unknown(Uncertainty::Retryable);
    let status = if has_failed { 500 } else { status };
    let exchange = Exchange {
        forwarded: format!("{POST}{ON}{booking}"),
        back: format!("<----- {status} --------|"),
        answered: format!("|<----- {status} -------|<----- {status} --------|"),
        status,
    };
    match fault {
        None => vec![exchange.forwarded, exchange.answered],
        Some(Fault { name, effect: Effect::Reset(reset), .. }) => reset_lines(reset.at, name, exchange),
        Some(Fault { name, effect: Effect::Kill(kill), .. }) => kill_lines(*kill, name, attempt.handling, exchange),
        Some(Fault { name, effect: Effect::Delay(delay), .. }) => {
            let label = format!("{OPEN}: {} {name}", delay.lasts);
            match attempt.outcome {
                AttemptOutcome::Unknown(Uncertainty::Timeout) => late_lines(delay.at, &label, exchange),
                AttemptOutcome::Acknowledged(_) | AttemptOutcome::Rejected(_) | AttemptOutcome::Unknown(_) => {
                    delay_lines(delay.at, label, exchange)
                }
            }
        }
    }
}

/// The messages of an attempt that no fault changes.
struct Exchange {
    /// The request, from the client to the ledger.
    forwarded: String,
    /// The answer of the service, as far as the proxy.
    back: String,
    /// The answer of the service, as far as the client.
    answered: String,
    status: u16,
}

/// The lines of an attempt that is reset.
fn reset_lines(at: Point, fault: &str, exchange: Exchange) -> Vec<String> {
    let Exchange { forwarded, back, answered, status } = exchange;
    let reset = RST.to_owned();
    match at {
        Point::Connect => vec![format!("|---- SYN -------->x {fault}"), reset],
        Point::BeforeRequest => vec![format!("{POST}x {fault}"), reset],
        Point::MidRequest => vec![format!("{POST}|---- PO ---x {fault}"), format!("{RST}----- RST ------->|")],
        Point::AfterRequest => {
            vec![forwarded, format!("{RST}                   | {fault}"), format!("{OPEN}|{back} answered to nobody")]
        }
        Point::BeforeResponse => vec![forwarded, format!("{OPEN}x{back} {fault}"), reset],
        Point::MidResponse => vec![forwarded, format!("|<-- part of {status} --x{back} {fault}"), reset],
        Point::AfterResponse => vec![forwarded, answered, format!("{RST} {fault}")],
    }
}

/// The lines of an attempt during which the service is killed.
fn kill_lines(kill: Kill, fault: &str, handling: Handling, exchange: Exchange) -> Vec<String> {
    let Exchange { forwarded, back, answered, status } = exchange;
    let reset = RST.to_owned();
    let dies = format!("{OPEN}|                   X {fault}: killed, and started again");
    match kill.at {
        Point::Connect => vec!["|---- SYN -------->|".to_owned(), dies, reset],
        Point::BeforeRequest => vec![format!("{POST}|"), dies, reset],
        Point::MidRequest => vec![format!("{POST}{FIRST_PART}"), dies, reset],
        // A repeat is answered before the service dies.
        Point::AfterRequest if !matches!(handling, Handling::Interrupted | Handling::Booked(_)) => {
            vec![forwarded, format!("{OPEN}|{back}"), dies, reset]
        }
        Point::AfterRequest => vec![forwarded, dies, reset],
        Point::BeforeResponse => vec![forwarded, format!("{OPEN}|{back}"), dies, reset],
        Point::MidResponse => vec![forwarded, format!("|<-- part of {status} --|{back}"), dies, reset],
        Point::AfterResponse => vec![forwarded, answered, dies],
    }
}

/// The lines of an attempt that is delayed and answered in time.
fn delay_lines(at: Point, label: String, exchange: Exchange) -> Vec<String> {
    let Exchange { forwarded, back, answered, status } = exchange;
    let (request, arrival) = forwarded.split_at(POST.len());
    match at {
        Point::Connect | Point::BeforeRequest => {
            vec![format!("{request}|"), label, format!("{OPEN}{arrival}"), answered]
        }
        Point::MidRequest => {
            vec![format!("{request}{FIRST_PART}"), label, format!("{OPEN}{}", last_part(arrival)), answered]
        }
        Point::AfterRequest | Point::BeforeResponse => {
            vec![forwarded, format!("{OPEN}|{back}"), label, format!("|<----- {status} -------|")]
        }
        Point::MidResponse => {
            vec![forwarded, format!("|<-- part of {status} --|{back}"), label, format!("|<-- rest of {status} --|")]
        }
        Point::AfterResponse => vec![forwarded, answered, label],
    }
}

/// The lines of an attempt whose client has given up when the delay ends.
fn late_lines(at: Point, label: &str, exchange: Exchange) -> Vec<String> {
    let Exchange { forwarded, back, answered: _, status } = exchange;
    let (request, arrival) = forwarded.split_at(POST.len());
    let gives_up = format!("x timed out        {}", label.trim_start_matches(OPEN));
    let unheard = format!("{OPEN}|{back} answered to nobody");
    match at {
        Point::Connect | Point::BeforeRequest => {
            vec![format!("{request}|"), gives_up, format!("{OPEN}{arrival}"), unheard]
        }
        Point::MidRequest => {
            vec![format!("{request}{FIRST_PART}"), gives_up, format!("{OPEN}{}", last_part(arrival)), unheard]
        }
        Point::MidResponse => vec![forwarded, format!("|<-- part of {status} --|{back}"), gives_up],
        Point::AfterRequest | Point::BeforeResponse | Point::AfterResponse => {
            vec![forwarded, format!("{OPEN}|{back}"), gives_up]
        }
    }
}

/// The last part of a request whose first part was forwarded before.
fn last_part(arrival: &str) -> String {
    arrival.replacen("POST --", "ST ----", 1)
}

/// What the service answers, and what it writes into the ledger.
fn answer(handling: Handling, target: &Target) -> (u16, String) {
    let dedup = match target {
        Target::Ours(OurService { dedup, .. }) => *dedup,
        // It says how they treat repeats; their own statuses are not known here.
        Target::Theirs(service) => service.model.unwrap_or(Dedup::UniqueKey),
    };
    match handling {
        Handling::Booked(entry) => (new_status(dedup), format!("|--- entry {entry} ---->|")),
        Handling::Repeat(_) => (repeat_status(dedup), "|    a repeat     |".to_owned()),
        Handling::Refused(status) => (status, "|    refused      |".to_owned()),
        Handling::Interrupted => (0, "|    works on it   |".to_owned()),
        Handling::NotReceived => (0, String::new()),
    }
}

const fn new_status(dedup: Dedup) -> u16 {
    match dedup {
        Dedup::AckThenApply => 202,
        Dedup::None
        | Dedup::UniqueKey
        | Dedup::Replay
        | Dedup::CheckThenInsert
        | Dedup::Memory
        | Dedup::KeyThenApply
        | Dedup::ApplyThenKey => 200,
    }
}

const fn repeat_status(dedup: Dedup) -> u16 {
    match dedup {
        Dedup::AckThenApply => 202,
        Dedup::Replay => 200,
        Dedup::None
        | Dedup::UniqueKey
        | Dedup::CheckThenInsert
        | Dedup::Memory
        | Dedup::KeyThenApply
        | Dedup::ApplyThenKey => 208,
    }
}
