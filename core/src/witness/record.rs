//! What the proxy records about every request, which is the ground truth of the judge, and the sums of it by payment.

use std::{collections::BTreeMap, fmt, ops::Range, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    chronicle::fate::{AttemptFate, Fates},
    fault::{effect::Effect, point::Point, sampler::FaultSampler, traces::Traces},
    payment::{AttemptId, PaymentId},
    per_payment::PerPayment,
    plan::Plan,
    run_id::RunId,
    witness::seal::{Flaw, Seal, SealedStream},
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
    /// Whether the proxy understood it as HTTP/1.1.
    pub protocol: Protocol,
    /// One coin for each fault, in the order of the rules.
    pub coins: Vec<Coin>,
    /// The fault that took effect.
    pub fault: Option<String>,
    /// The point at which it took effect.
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
    /// How long it was held on purpose, in microseconds; absent: it was not held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_us: Option<u64>,
    /// How long it was in the proxy, from its head to its end, in microseconds; absent: it has not ended, or an older proxy has not measured
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_us: Option<u64>,
    /// The death of the service's process that its fault has ordered; absent: none was ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill: Option<KillTimes>,
    /// Why it, and all that follows on its connection, was passed on as bytes; absent: every message was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_reason: Option<BytesReason>,
    /// How it ended.
    pub end: End,
}

/// A death of the service's process, in microseconds since the rules were put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillTimes {
    /// When it was ordered.
    pub ordered_us: u64,
    /// When the process was dead for certain; absent: it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_us: Option<u64>,
    /// When the service served again; absent: it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving_us: Option<u64>,
}

/// Why the proxy has passed on bytes without looking for requests and responses in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BytesReason {
    /// They do not begin as HTTP/1 does.
    NotHttp1,
    /// The head of a message is longer than the proxy's limit.
    HeadTooLong,
    /// The head of a message has more fields than the proxy's limit.
    TooManyFields,
    /// The client has ended its side within a head.
    HeadCut,
    /// The head of a message does not say where the body ends, or says different things.
    LengthUnclear,
    /// A body is not in chunks, although its head says so.
    ChunksBroken,
    /// The service has spoken before the client, as databases and mail servers do.
    ServiceFirst,
}

impl BytesReason {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::NotHttp1,
        Self::HeadTooLong,
        Self::TooManyFields,
        Self::HeadCut,
        Self::LengthUnclear,
        Self::ChunksBroken,
        Self::ServiceFirst,
    ];
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
    /// Not yet: the fault, if there is one, is ordered and not carried out.
    Intended,
    /// The fault was carried out.
    Faulted,
    /// The response was relayed whole.
    Relayed,
    /// The client left before the end.
    ClientGone,
    /// The service broke the connection; the client was reset though no fault said so.
    ServiceGone,
    /// The service could not be dialled; the client was reset though no fault said so.
    Unreachable,
    /// The fault of another attempt has killed the service meanwhile; the client was reset.
    Collateral,
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

impl RecordLine {
    /// Whether it says that the request has arrived, or has not, against its fate.
    fn contradicts(&self, fate: Option<Effect>) -> bool {
        if !fate.is_none_or(Effect::request_arrives) {
            return self.forwarded_whole;
        }
        let is_complete = match self.end {
            End::Faulted | End::Relayed => matches!(self.protocol, Protocol::Http1),
            // Whoever left may have left before the whole request was sent.
            End::Intended | End::ClientGone | End::ServiceGone | End::Unreachable | End::Collateral => false,
        };
        // A service may refuse a request before it has the whole of it.
        is_complete && !self.forwarded_whole && self.status.is_none_or(|status| (200..300).contains(&status))
    }

    /// What it says about carrying out a fault.
    fn traces(&self) -> Traces {
        let client_reset = match self.end {
            End::Faulted => self.rst_client_ok,
            End::Intended | End::Relayed | End::ClientGone | End::ServiceGone | End::Unreachable | End::Collateral => {
                None
            }
        };
        // A service that is killed for another attempt ends this one before its own point.
        let client_left = matches!(self.end, End::ClientGone | End::Collateral);
        Traces {
            client_reset,
            client_left,
            held: self.held_us.map(Duration::from_micros),
            kill_ordered: self.kill.is_some(),
            served_again: self.kill.is_some_and(|kill| kill.dead_us.is_some() && kill.serving_us.is_some()),
        }
    }
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

/// The record added up by payment, one line at a time. Every coin is drawn again and compared.
#[derive(Debug, Clone)]
pub struct RecordTally {
    run: RunId,
    sampler: FaultSampler,
    rows: PerPayment<RecordRow>,
    /// The fates of each payment's attempts, for a chronicle; `None`: nobody asks for them.
    fates: Option<PerPayment<Fates>>,
    /// How many attempts have met each fate, for a chronicle.
    pub fate_totals: BTreeMap<AttemptFate, u64>,
    /// The stream that it was read from.
    pub stream: SealedStream<RecordFooter>,
    /// What each fault did, in the order of the spec.
    pub faults: Vec<FaultTally>,
    /// Requests whose coins or fate are not those of the seed, or that arrived, or did not, against their fate.
    pub misjudged: Mismatches,
    /// Requests that were lost without an order by a fault.
    pub broken: Mismatches,
    /// Requests whose fault was ordered but not carried out, though the client was still there.
    pub undelivered: Mismatches,
}

/// What the proxy saw of one payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecordRow {
    /// Requests.
    pub requests: u16,
    /// Of these, sent to the service whole.
    pub forwarded: u16,
    /// Of these, answered by the service with a 2xx; and two flags.
    answered: u16,
}

impl RecordRow {
    /// Set once a request was lost without an order by a fault.
    const BROKEN: u16 = 1 << 15;
    /// Set once a request is said to have arrived, or not to have, against its own fate.
    const CONTRADICTORY: u16 = 1 << 14;
    const FLAGS: u16 = Self::BROKEN | Self::CONTRADICTORY;

    /// Requests that the service has answered with a 2xx, counted up to 16,383.
    #[must_use]
    pub const fn answered(self) -> u16 {
        self.answered & !Self::FLAGS
    }

    /// Whether a request was lost without an order by a fault: the service could not be reached, or it broke the connection.
    #[must_use]
    pub const fn is_broken(self) -> bool {
        self.answered & Self::BROKEN != 0
    }

    /// Whether it contradicts itself about what has arrived.
    #[must_use]
    pub const fn is_contradictory(self) -> bool {
        self.answered & Self::CONTRADICTORY != 0
    }

    fn count_answered(&mut self) {
        self.answered = (self.answered() + 1).min(!Self::FLAGS) | self.answered & Self::FLAGS;
    }
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

/// How many requests were not as expected, and the first payment among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mismatches {
    /// How many.
    pub count: u64,
    /// The lowest payment.
    pub first: Option<u64>,
}

impl FaultTally {
    /// The sums of two shares, fault by fault.
    #[must_use]
    pub fn sums(mut these: Vec<Self>, others: Vec<Self>) -> Vec<Self> {
        for (known, Self { drawn, fired, effective }) in these.iter_mut().zip(others) {
            known.drawn += drawn;
            known.fired += fired;
            known.effective += effective;
        }
        these
    }
}

impl Mismatches {
    fn note(&mut self, payment: u64) {
        self.count += 1;
        self.first = Some(self.first.map_or(payment, |first| first.min(payment)));
    }
}

impl RecordTally {
    /// An empty tally for the payments of a share.
    #[must_use]
    pub fn new(plan: &Plan, run: &RunId, share: Range<u64>) -> Self {
        Self {
            run: run.clone(),
            sampler: plan.sampler.clone(),
            rows: PerPayment::new(share),
            fates: None,
            fate_totals: BTreeMap::new(),
            stream: SealedStream::default(),
            faults: vec![FaultTally::default(); plan.faults().len()],
            misjudged: Mismatches::default(),
            broken: Mismatches::default(),
            undelivered: Mismatches::default(),
        }
    }

    /// The same tally, which also notes the fates of each payment's attempts.
    #[must_use]
    pub fn noting_fates(mut self) -> Self {
        self.fates = Some(PerPayment::new(self.rows.share()));
        self
    }

    /// The fates that the attempts of a payment of the share have met, if they were noted.
    #[must_use]
    pub fn fates(&self, payment: PaymentId) -> Option<Fates> {
        self.fates.as_ref()?.row(payment).copied()
    }

    /// Takes one line of the record, with its newline. A line that cannot be read becomes a flaw, never an error.
    pub fn take(&mut self, line: &[u8]) {
        match serde_json::from_slice(line) {
            Ok(RecordItem::Request(request)) => {
                self.stream.line(line);
                self.add(&request);
            }
            Ok(RecordItem::Footer(footer)) => {
                if footer.run_id.as_deref() != Some(self.run.as_str()) {
                    self.stream.spoil(Flaw::OtherRun);
                }
                let seal = footer.seal.clone();
                self.stream.close(footer, &seal);
            }
            Err(_) => self.stream.spoil(Flaw::Unreadable),
        }
    }

    /// The run that it is about.
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
        // Requests without the header belong to no payment; the footer counts them.
        let row = self.rows.row_mut(PaymentId(request.payment)).filter(|_| request.attributed);
        let Some(row) = row else { return };
        if let Some(fates) = self.fates.as_mut().and_then(|fates| fates.row_mut(PaymentId(request.payment))) {
            let fate = AttemptFate::of(request);
            fates.add(fate);
            *self.fate_totals.entry(fate).or_default() += 1;
        }
        row.requests = row.requests.saturating_add(1);
        if request.forwarded_whole {
            row.forwarded = row.forwarded.saturating_add(1);
            if request.status.is_some_and(|status| (200..300).contains(&status)) {
                row.count_answered();
            }
        }
        match request.end {
            End::ServiceGone | End::Unreachable => {
                row.answered |= RecordRow::BROKEN;
                self.broken.note(request.payment);
            }
            End::Intended | End::Faulted | End::Relayed | End::ClientGone | End::Collateral => {}
        }
        self.draw_again(request);
    }

    /// Compares what the proxy drew and did with what follows from the seed.
    fn draw_again(&mut self, request: &RecordLine) {
        let id = AttemptId { payment: PaymentId(request.payment), attempt: request.attempt };
        let draw = self.sampler.draw(id);
        let effective = self.sampler.effective(&draw);
        let name = effective.map(|fault| fault.name.as_str());
        let same_coins = request.coins.iter().map(|coin| &coin.0).eq(draw.coins());
        let contradicts = request.contradicts(effective.map(|fault| fault.effect));
        if contradicts && let Some(row) = self.rows.row_mut(PaymentId(request.payment)) {
            row.answered |= RecordRow::CONTRADICTORY;
        }
        let same_fate = request.fault.as_deref() == name && request.at == self.sampler.point(&draw);
        if !same_coins || !same_fate || contradicts {
            self.misjudged.note(request.payment);
        }
        let carried_out = effective.is_some_and(|fault| fault.effect.is_proven_by(request.traces()));
        if effective.is_some() && !carried_out {
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
