//! What the proxy writes down of every request, the judge's ground truth, and the tally of it by payment.

use std::{fmt, ops::Range, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    evidence::{Flaw, Seal, Testimony},
    fate::Dice,
    payment::{AttemptId, PaymentId, RunId},
    per_payment::PerPayment,
    plan::Plan,
    spec::Point,
};

/// A coin as it is written: 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Coin(pub u64);

/// One request that the proxy has seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordLine {
    /// The request's number in the record, from 0.
    pub seq: u64,
    /// When its head was read, in microseconds since the rules were put.
    pub t_us: u64,
    /// The number of its connection since the rules were put, from 0.
    pub conn: u64,
    /// Its number on that connection, from 1.
    pub nth: u32,
    /// Which payment; without a `Paylab-Attempt` header the connection's number.
    pub payment: u64,
    /// Which attempt; without a `Paylab-Attempt` header `nth`.
    pub attempt: u32,
    /// Whether the header said so. A run with a request that did not cannot be replayed.
    pub attributed: bool,
    /// Whether it was understood as HTTP/1.1.
    pub protocol: Protocol,
    /// One coin for each fault, in the order of the rules.
    pub coins: Vec<Coin>,
    /// The fault that took effect.
    pub fault: Option<String>,
    /// Where it reset.
    pub at: Option<Point>,
    /// Bytes of it sent to the service.
    pub bytes_up: u64,
    /// Bytes of its response sent to the client.
    pub bytes_down: u64,
    /// Whether the service was sent all of it.
    pub forwarded_whole: bool,
    /// The status of the final response, when its head came from the service.
    pub status: Option<u16>,
    /// Whether the client's socket was reset on purpose, and that succeeded.
    pub rst_client_ok: Option<bool>,
    /// Whether the service's socket was reset on purpose, and that succeeded.
    pub rst_service_ok: Option<bool>,
    /// How it ended.
    pub end: End,
}

/// What the proxy took a connection for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// Requests with boundaries.
    Http1,
    /// TLS, HTTP/2 or anything else: bytes that are passed.
    Bytes,
}

/// How a request ended, as the proxy saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// Not yet: the fault, if any, is intended.
    Intended,
    /// The fault was carried out.
    Faulted,
    /// The response was relayed whole.
    Relayed,
    /// The client went away first.
    ClientGone,
    /// The service broke the connection; the client was reset though no fault said so.
    ServiceGone,
    /// The service could not be dialled; the client was reset though no fault said so.
    Unreachable,
}

/// The last line of the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordFooter {
    /// Count and hash of the lines before it.
    #[serde(flatten)]
    pub seal: Seal,
    /// Whose record it is.
    pub run_id: Option<String>,
    /// Requests of this record in all, whatever window was asked for.
    pub requests: u64,
    /// Connections accepted since the rules were put.
    pub connections: u64,
    /// Requests without a `Paylab-Attempt` header.
    pub unattributed: u64,
    /// Connections reset though no fault said so.
    pub unintended_resets: u64,
    /// Requests that could not be written down (a full disk, say).
    pub unrecorded: u64,
    /// Requests that passed because the rules had lapsed.
    pub lapsed: u64,
}

/// A line of the record's NDJSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RecordItem {
    /// `{"request": {...}}`
    Request(RecordLine),
    /// `{"footer": {...}}`
    Footer(RecordFooter),
}

impl fmt::Display for Coin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Coin {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

impl TryFrom<String> for Coin {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Coin> for String {
    fn from(coin: Coin) -> Self {
        coin.to_string()
    }
}

/// The record added up by payment, one line at a time, with every coin tossed again.
#[derive(Debug, Clone)]
pub struct RecordTally {
    run: RunId,
    dice: Dice,
    rows: PerPayment<RecordRow>,
    /// The stream it was read from.
    pub testimony: Testimony<RecordFooter>,
    /// Each fault's part in what happened, in the order of the spec.
    pub faults: Vec<FaultTally>,
    /// Requests whose coins or fate are not those of the seed.
    pub misjudged: Misfits,
    /// Requests whose fault was ordered but not carried out, though the client was still there.
    pub undelivered: Misfits,
}

/// What the proxy saw of one payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecordRow {
    /// Requests.
    pub requests: u16,
    /// Of these, sent to the service whole.
    pub forwarded: u16,
    /// Of these, answered by the service with a 2xx.
    pub answered: u16,
}

/// What one fault did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultTally {
    /// Coins drawn.
    pub drawn: u64,
    /// Coins that fired.
    pub fired: u64,
    /// Attempts on which it took effect: the earliest of those that fired, and carried out.
    pub effective: u64,
}

/// How many requests were not as they should be, and the first payment among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Misfits {
    /// How many.
    pub count: u64,
    /// The lowest payment.
    pub first: Option<u64>,
}

impl Misfits {
    fn note(&mut self, payment: u64) {
        self.count += 1;
        self.first = Some(self.first.map_or(payment, |first| first.min(payment)));
    }
}

impl RecordTally {
    /// Nothing tallied yet, for the payments of a share.
    #[must_use]
    pub fn new(plan: &Plan, run: &RunId, share: Range<u64>) -> Self {
        Self {
            run: run.clone(),
            dice: plan.dice.clone(),
            rows: PerPayment::new(share),
            testimony: Testimony::default(),
            faults: vec![FaultTally::default(); plan.dice.dies().len()],
            misjudged: Misfits::default(),
            undelivered: Misfits::default(),
        }
    }

    /// Takes one line of the record, its newline included. What cannot be read becomes a flaw, never an error.
    pub fn take(&mut self, line: &[u8]) {
        match serde_json::from_slice(line) {
            Ok(RecordItem::Request(request)) => {
                self.testimony.line(line);
                self.add(&request);
            }
            Ok(RecordItem::Footer(footer)) => {
                if footer.run_id.as_deref() != Some(self.run.as_str()) {
                    self.testimony.spoil(Flaw::OtherRun);
                }
                let seal = footer.seal.clone();
                self.testimony.close(footer, &seal);
            }
            Err(_) => self.testimony.spoil(Flaw::Unreadable),
        }
    }

    /// Which run it is of.
    #[must_use]
    pub const fn run_id(&self) -> &RunId {
        &self.run
    }

    /// What the proxy saw of a payment of the share.
    #[must_use]
    pub fn row(&self, payment: PaymentId) -> RecordRow {
        self.rows.row(payment).copied().unwrap_or_default()
    }

    fn add(&mut self, request: &RecordLine) {
        // The footer counts the requests of others; they are no payment's.
        let row = self.rows.row_mut(PaymentId(request.payment)).filter(|_| request.attributed);
        let Some(row) = row else { return };
        row.requests = row.requests.saturating_add(1);
        if request.forwarded_whole {
            row.forwarded = row.forwarded.saturating_add(1);
            if request.status.is_some_and(|status| (200..300).contains(&status)) {
                row.answered = row.answered.saturating_add(1);
            }
        }
        self.toss_again(request);
    }

    /// Compares what the proxy drew and did with what the seed says.
    fn toss_again(&mut self, request: &RecordLine) {
        let id = AttemptId { payment: PaymentId(request.payment), attempt: request.attempt };
        let draw = self.dice.draw(id);
        let name = draw.effective.map(|index| self.dice.dies()[index].name.as_str());
        let same_coins = request.coins.iter().map(|coin| &coin.0).eq(draw.coins());
        if !same_coins || request.fault.as_deref() != name || request.at != self.dice.point(&draw) {
            self.misjudged.note(request.payment);
        }
        let carried_out = match request.end {
            End::Faulted => request.rst_client_ok == Some(true),
            End::ClientGone => true,
            End::Intended | End::Relayed | End::ServiceGone | End::Unreachable => false,
        };
        if name.is_some() && !carried_out {
            self.undelivered.note(request.payment);
        }
        for (index, tally) in self.faults.iter_mut().enumerate() {
            let struck = draw.effective == Some(index) && request.fault.as_deref() == name;
            tally.drawn += 1;
            tally.fired += u64::from(draw.has_fired(index));
            tally.effective += u64::from(struck && carried_out);
        }
    }
}
