//! What happened to one payment as a sequence of messages between client, proxy, service and ledger, as far as the witnesses tell. It is
//! drawn as text by `measured.rs` and as a picture by `html/diagram.rs`.

use std::collections::BTreeMap;

use paylab_core::{
    chronicle::{
        fate::AttemptFate,
        story::{AttemptStory, ClientTrace, EntryStory, PaymentStory},
    },
    fault::point::Point,
    witness::{
        attempt::{Acknowledgement, AttemptOutcome, Rejection, Uncertainty},
        record::{End, RecordLine},
    },
};

/// One of the four that messages pass between, from left to right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lifeline {
    Client,
    Proxy,
    Service,
    Ledger,
}

/// One step of an attempt, with the time at which it is known to have happened, in microseconds since the payment's first attempt began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) at_us: Option<u64>,
    pub(crate) kind: StepKind,
}

/// What happens in a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StepKind {
    /// A message arrives.
    Message { from: Lifeline, to: Lifeline, label: String },
    /// A message is lost on its way, because of this.
    Lost { from: Lifeline, to: Lifeline, label: String, cause: String },
    /// A connection is reset.
    Reset { from: Lifeline, to: Lifeline },
    /// An entry is written into the ledger.
    Entry(EntryStory),
    /// Something is noted at a lifeline.
    Note { at: Lifeline, text: String },
}

/// One attempt, ready to be drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sequence {
    pub(crate) attempt: u32,
    /// When it began, in microseconds since the payment's first attempt began.
    pub(crate) began_us: Option<u64>,
    /// How long it took for the client, in microseconds.
    pub(crate) took_us: Option<u64>,
    pub(crate) steps: Vec<Step>,
    /// The fault that took effect.
    pub(crate) fault: Option<String>,
    pub(crate) fate: Option<AttemptFate>,
    /// The status with which the service has answered.
    pub(crate) status: Option<u16>,
    /// What the client may believe after it.
    pub(crate) belief: &'static str,
    /// The entry that it has booked.
    pub(crate) entry: Option<EntryStory>,
}

/// The attempts of a payment, ready to be drawn.
pub(crate) fn of(story: &PaymentStory) -> Vec<Sequence> {
    let bookings = story.bookings();
    let zero = story.began_us();
    story.attempts.iter().map(|attempt| Drawing { story, attempt, bookings: &bookings, zero }.sequence()).collect()
}

/// What the client may believe after an attempt.
pub(crate) const fn belief(outcome: AttemptOutcome) -> &'static str {
    match outcome {
        AttemptOutcome::Acknowledged(Acknowledgement::New) => "paid",
        AttemptOutcome::Acknowledged(Acknowledgement::Repeat) => "paid before",
        AttemptOutcome::Rejected(Rejection::Refused) => "refused",
        AttemptOutcome::Rejected(Rejection::Unreached | Rejection::NoPort) => "not sent",
        AttemptOutcome::Unknown(Uncertainty::Reset) => "unknown: connection reset",
        AttemptOutcome::Unknown(Uncertainty::Eof) => "unknown: connection ended",
        AttemptOutcome::Unknown(Uncertainty::Timeout) => "unknown: timed out",
        AttemptOutcome::Unknown(Uncertainty::Retryable) => "unknown: try again",
        AttemptOutcome::Unknown(Uncertainty::Garbled) => "unknown: not understood",
        AttemptOutcome::Unknown(Uncertainty::Stopped) => "unknown: load stopped",
    }
}

/// A fate in a few words.
pub(crate) const fn fate(fate: AttemptFate) -> &'static str {
    match fate {
        AttemptFate::RequestLost => "request lost",
        AttemptFate::RequestCut => "request cut",
        AttemptFate::AnswerLost => "answer lost",
        AttemptFate::AnswerCut => "answer cut",
        AttemptFate::ResetAfterAnswer => "reset after answer",
        AttemptFate::Held => "held",
        AttemptFate::Killed => "service killed",
        AttemptFate::Collateral => "service killed for another attempt",
        AttemptFate::Broken => "broken by the service",
        AttemptFate::ClientLeft => "client left",
        AttemptFate::Unended => "not ended",
        AttemptFate::Passed => "let through",
    }
}

/// Microseconds as milliseconds, with two decimals.
pub(crate) fn ms(us: u64) -> String {
    format!("{}.{:02}", us / 1_000, us % 1_000 / 10)
}

struct Drawing<'a> {
    story: &'a PaymentStory,
    attempt: &'a AttemptStory,
    bookings: &'a BTreeMap<u32, EntryStory>,
    zero: u64,
}

use Lifeline::{Client, Ledger, Proxy, Service};

impl Drawing<'_> {
    fn sequence(&self) -> Sequence {
        let client = self.attempt.client;
        let line = self.attempt.proxy.as_ref();
        Sequence {
            attempt: self.attempt.attempt,
            began_us: self.attempt.began_us().map(|at| self.since(at)),
            took_us: client.map(|client| client.took_us),
            steps: line.map_or_else(|| self.unrecorded(), |line| self.steps(line)),
            fault: line.and_then(|line| line.fault.clone()),
            fate: self.attempt.fate(),
            status: line.and_then(|line| line.status).or(client.and_then(|client| client.status)),
            belief: client.map_or("not noted", |client| belief(client.outcome)),
            entry: self.bookings.get(&self.attempt.attempt).copied(),
        }
    }

    const fn since(&self, at_us: u64) -> u64 {
        at_us.saturating_sub(self.zero)
    }

    fn started_us(&self) -> Option<u64> {
        self.attempt.client.map(|client| self.since(client.start_us))
    }

    fn known_us(&self) -> Option<u64> {
        self.attempt.client.map(|ClientTrace { start_us, took_us, .. }| self.since(start_us + took_us))
    }

    /// When the proxy had the whole answer or has struck it, as far as the end of the request says.
    fn proxy_end_us(&self) -> Option<u64> {
        let line = self.attempt.proxy.as_ref()?;
        Some(self.since(self.attempt.proxy_at_us? + line.took_us?))
            .map(|end| self.known_us().map_or(end, |it| end.min(it)))
    }

    /// The client made an attempt that the proxy has not recorded.
    fn unrecorded(&self) -> Vec<Step> {
        let text = "the proxy has no record of this attempt".to_owned();
        vec![Step { at_us: self.started_us(), kind: StepKind::Note { at: Client, text } }, self.client_end()]
    }

    fn client_end(&self) -> Step {
        let text = self.attempt.client.map_or("not noted", |client| belief(client.outcome)).to_owned();
        Step { at_us: self.known_us(), kind: StepKind::Note { at: Client, text } }
    }

    fn steps(&self, line: &RecordLine) -> Vec<Step> {
        let fault = line.fault.clone().unwrap_or_default();
        let (start, end, known) = (self.started_us(), self.proxy_end_us(), self.known_us());
        let status = line.status.map_or_else(|| "answer".to_owned(), |status| status.to_string());
        let message = |at_us, from, to, label: &str| Step {
            at_us,
            kind: StepKind::Message { from, to, label: label.to_owned() },
        };
        let lost = |at_us, from, to, label: &str, cause: &str| Step {
            at_us,
            kind: StepKind::Lost { from, to, label: label.to_owned(), cause: cause.to_owned() },
        };
        let reset = Step { at_us: known, kind: StepKind::Reset { from: Proxy, to: Client } };
        let request = message(start, Client, Proxy, "POST");
        let mut arrival = vec![message(None, Proxy, Service, "POST")];
        arrival.extend(self.booking(line));
        match AttemptFate::of(line) {
            AttemptFate::RequestLost => vec![lost(start, Client, Proxy, "POST", &fault), reset],
            AttemptFate::RequestCut => vec![request, lost(end, Proxy, Service, "part of POST", &fault), reset],
            AttemptFate::AnswerLost => {
                let answer = lost(end, Service, Proxy, &status, &fault);
                [vec![request], arrival, vec![answer, reset]].concat()
            }
            AttemptFate::AnswerCut => {
                let answer = message(None, Service, Proxy, &status);
                let part = lost(end, Proxy, Client, &format!("part of {status}"), &fault);
                [vec![request], arrival, vec![answer, part, reset]].concat()
            }
            AttemptFate::ResetAfterAnswer => {
                let answer = [message(None, Service, Proxy, &status), message(known, Proxy, Client, &status)];
                [vec![request], arrival, answer.to_vec(), vec![Step { at_us: end, ..reset }]].concat()
            }
            AttemptFate::Held => self.held(line, &fault, &status, arrival),
            AttemptFate::Passed => {
                let answer = [message(None, Service, Proxy, &status), message(known, Proxy, Client, &status)];
                let forwarded =
                    if line.forwarded_whole { arrival } else { vec![message(None, Proxy, Service, "POST")] };
                [vec![request], forwarded, answer.to_vec()].concat()
            }
            AttemptFate::Broken => {
                let text = if line.end == End::Unreachable { "cannot be reached" } else { "broke the connection" };
                let broke = Step { at_us: end, kind: StepKind::Note { at: Service, text: text.to_owned() } };
                let forwarded = if line.forwarded_whole { arrival } else { Vec::new() };
                [vec![request], forwarded, vec![broke, reset]].concat()
            }
            AttemptFate::Killed => {
                let died = Step { at_us: end, kind: StepKind::Note { at: Service, text: format!("killed ({fault})") } };
                let forwarded = if line.forwarded_whole { arrival } else { Vec::new() };
                let is_answered = line.at.is_some_and(Point::is_after_response);
                let answer = [message(None, Service, Proxy, &status), message(known, Proxy, Client, &status)];
                let ending = if is_answered { [answer.to_vec(), vec![died]].concat() } else { vec![died, reset] };
                [vec![request], forwarded, ending].concat()
            }
            AttemptFate::Collateral => {
                let text = "killed for another attempt".to_owned();
                let died = Step { at_us: end, kind: StepKind::Note { at: Service, text } };
                let forwarded = if line.forwarded_whole { arrival } else { Vec::new() };
                [vec![request], forwarded, vec![died, reset]].concat()
            }
            AttemptFate::ClientLeft | AttemptFate::Unended => {
                let forwarded = if line.forwarded_whole { arrival } else { Vec::new() };
                [vec![request], forwarded, vec![self.client_end()]].concat()
            }
        }
    }

    /// A request or its answer was held, and the client may have given up meanwhile.
    fn held(&self, line: &RecordLine, fault: &str, status: &str, arrival: Vec<Step>) -> Vec<Step> {
        let held_ms = line.held_us.unwrap_or(0);
        let note = |at_us, at, text: String| Step { at_us, kind: StepKind::Note { at, text } };
        let message = |at_us, from, to, label: &str| Step {
            at_us,
            kind: StepKind::Message { from, to, label: label.to_owned() },
        };
        let hold = note(None, Proxy, format!("held {} ms ({fault})", ms(held_ms)));
        let gave_up =
            self.attempt.client.is_some_and(|client| !matches!(client.outcome, AttemptOutcome::Acknowledged(_)));
        let leaves = gave_up.then(|| note(self.known_us(), Client, "gave up".to_owned()));
        let request = message(self.started_us(), Client, Proxy, "POST");
        let answer = message(None, Service, Proxy, status);
        let last = if gave_up {
            let (from, to, label) = (Proxy, Client, status.to_owned());
            Step { at_us: None, kind: StepKind::Lost { from, to, label, cause: "nobody listens".to_owned() } }
        } else {
            message(self.known_us(), Proxy, Client, status)
        };
        let is_request = line.at.is_some_and(|at| !Point::is_after_arrival(at));
        let hold = [vec![hold], leaves.into_iter().collect()].concat();
        let arrival = if line.forwarded_whole { arrival } else { Vec::new() };
        let answered = line.status.is_some();
        let ending = if answered { vec![answer, last] } else { Vec::new() };
        if is_request {
            [vec![request], hold, arrival, ending].concat()
        } else {
            let (first, rest) =
                if answered { (vec![ending[0].clone()], vec![ending[1].clone()]) } else { (Vec::new(), Vec::new()) };
            [vec![request], arrival, first, hold, rest].concat()
        }
    }

    /// What the service has written into the ledger.
    fn booking(&self, line: &RecordLine) -> Option<Step> {
        if !line.forwarded_whole {
            return None;
        }
        if let Some(entry) = self.bookings.get(&self.attempt.attempt) {
            return Some(Step { at_us: None, kind: StepKind::Entry(*entry) });
        }
        let acknowledged_as_repeat = self
            .attempt
            .client
            .is_some_and(|client| matches!(client.outcome, AttemptOutcome::Acknowledged(Acknowledgement::Repeat)));
        let is_unassigned = self.bookings.is_empty() && self.story.booked() > 0;
        let text = match line.status {
            _ if acknowledged_as_repeat => "a repeat: nothing booked",
            Some(208) => "a repeat: nothing booked",
            Some(400..=499) => "refused: nothing booked",
            Some(500..) => "an error",
            _ if is_unassigned => "booked or not: not known",
            _ if self.story.entries.is_none() => "ledger not read",
            _ => "nothing booked",
        };
        Some(Step { at_us: None, kind: StepKind::Note { at: Ledger, text: text.to_owned() } })
    }
}
