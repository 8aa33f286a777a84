//! The lesson's plans, and the evidence of runs in which everything goes as predicted, to be changed by a test before it is judged.

use paylab_core::{
    fault::effect::Effect,
    judge::{judge, report::Report},
    outcome::{Outcome, Setting},
    payment::PaymentId,
    plan::Plan,
    prediction::{PredictedAttempt, Prediction, walk},
    run_id::RunId,
    targets::handling::Handling,
    witness::{
        attempt::{AttemptOutcome, Ending, Uncertainty},
        history::History,
        ledger::{Baseline, Elsewhere, Entry, LedgerFooter, LedgerItem, LedgerTally, ServiceCounters},
        record::{Coin, End, KillTimes, Protocol, RecordFooter, RecordItem, RecordLine, RecordTally},
        seal::{Seal, Sealer},
    },
};
use paylab_resource::{plan, spec::ChaosExperimentSpec};
use serde::Serialize;
use serde_json::{Value, json};

/// The lesson, seed 42, with parts of its spec replaced (merged in depth).
#[must_use]
pub fn lesson(changes: &Value) -> Plan {
    let mut spec = json!({
        "claim": "ExactlyOnce",
        "seed": 42,
        "faults": [
            {"name": "request-lost", "probability": 0.3, "reset": {"at": "BeforeRequest"}},
            {"name": "response-lost", "probability": 0.3, "reset": {"at": "BeforeResponse"}},
        ],
    });
    merge(&mut spec, changes);
    let spec: ChaosExperimentSpec = serde_json::from_value(spec).expect("the spec can be read");
    plan::plan(&spec, 0).expect("the lesson is valid")
}

/// The lesson `pay-exactly-once`: one key per payment, a unique column.
#[must_use]
pub fn safe_lesson() -> Plan {
    lesson(&json!({"client": {"idempotencyKey": "PerPayment"}, "service": {"dedup": "UniqueKey"}}))
}

/// The lesson against a service of the user's own that works like `UniqueKey` and shows nothing but the total of its ledger.
#[must_use]
pub fn total_lesson(changes: &Value) -> Plan {
    let mut spec = json!({
        "claim": "ExactTotal",
        "client": {"idempotencyKey": "PerPayment"},
        "target": {
            "url": "http://127.0.0.1:9000",
            "model": "UniqueKey",
            "pay": {"post": "/payments/", "text": "{reference}", "answers": [{"status": [208], "means": "Repeat"}]},
            "ledger": {"total": {"get": "/stats", "major": "$"}},
        },
    });
    merge(&mut spec, changes);
    lesson(&spec)
}

fn merge(into: &mut Value, changes: &Value) {
    match (into, changes) {
        (Value::Object(into), Value::Object(changes)) => {
            for (field, change) in changes {
                merge(into.entry(field.clone()).or_insert(Value::Null), change);
            }
        }
        (into, change) => *into = change.clone(),
    }
}

/// The three witnesses of a run.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// The plan.
    pub plan: Plan,
    /// The run.
    pub run: RunId,
    /// The client's history.
    pub history: History,
    /// The requests of the record.
    pub requests: Vec<RecordLine>,
    /// The footer of the record; its seal is made when the record is.
    pub record_footer: RecordFooter,
    /// The entries of the ledger.
    pub entries: Vec<Entry>,
    /// What the service has counted beside its bookings, which are as many as the entries that it has booked.
    pub service_requests: u64,
    /// Entries that the service has not counted as booked, because somebody else wrote them into its ledger.
    pub uncounted_entries: u64,
    /// What the ledger held before the load.
    pub baseline: Baseline,
}

impl Evidence {
    /// A run in which everything goes as predicted.
    #[must_use]
    pub fn of(plan: Plan) -> Self {
        let run: RunId = "run-1".parse().expect("a run id");
        let mut evidence = Self {
            history: History::new(0..plan.count),
            requests: Vec::new(),
            entries: Vec::new(),
            service_requests: 0,
            uncounted_entries: 0,
            baseline: Baseline::default(),
            record_footer: footer(&run),
            plan,
            run,
        };
        for payment in (0..evidence.plan.count).map(PaymentId) {
            let mut attempts = Vec::new();
            walk(&evidence.plan, payment, |attempt| attempts.push(*attempt));
            attempts.iter().for_each(|attempt| evidence.add(attempt));
            let ending = attempts.iter().find_map(|attempt| attempt.outcome.ending());
            evidence.history.end(payment, ending.unwrap_or(Ending::GaveUp));
        }
        evidence.record_footer.connections = evidence.requests.len() as u64;
        evidence
    }

    fn add(&mut self, attempt: &PredictedAttempt) {
        self.history.note(attempt.id.payment, attempt.id.attempt, attempt.outcome);
        self.requests.push(request(&self.plan, attempt, self.requests.len() as u64));
        self.service_requests += u64::from(attempt.handling != Handling::NotReceived);
        if let Handling::Booked(_) = attempt.handling {
            let entry = self.entry(attempt.id.payment.0, self.plan.amount_of(attempt.id.attempt).0);
            self.entries.push(entry);
        }
    }

    /// An entry that could be the ledger's next.
    #[must_use]
    pub fn entry(&self, payment: u64, amount_minor: i64) -> Entry {
        let reference = Some(self.run.reference(PaymentId(payment)));
        let id = self.entries.last().map_or(1, |last| last.id + 1);
        Entry { id, reference, src: self.plan.from.clone(), dest: self.plan.to.clone(), amount_minor }
    }

    /// The lines of the record, sealed.
    #[must_use]
    pub fn record(&self) -> Vec<Vec<u8>> {
        let items = self.requests.iter().cloned().map(RecordItem::Request);
        let (mut lines, seal) = sealed(items);
        lines.push(line(&RecordItem::Footer(RecordFooter { seal, ..self.record_footer.clone() })));
        lines
    }

    /// The lines of the ledger, sealed.
    #[must_use]
    pub fn ledger(&self) -> Vec<Vec<u8>> {
        let total_minor = self.entries.iter().map(|entry| entry.amount_minor).sum();
        let booked = (self.entries.len() as u64).saturating_sub(self.uncounted_entries);
        let counters = ServiceCounters { requests: self.service_requests, booked, ..ServiceCounters::default() };
        let (mut lines, seal) = sealed(self.entries.iter().cloned().map(LedgerItem::Entry));
        let footer = LedgerFooter { seal, total_minor, counters, elsewhere: Elsewhere::default() };
        lines.push(line(&LedgerItem::Footer(footer)));
        lines
    }

    /// What the evidence comes to.
    #[must_use]
    pub fn conclude(&self) -> Outcome {
        self.conclude_from(&self.record(), &self.ledger())
    }

    /// Concludes where the ledger shows nothing but this total.
    #[must_use]
    pub fn conclude_from_total(&self, total_minor: i64) -> Outcome {
        let elsewhere = Elsewhere { entries: 0, amount_minor: total_minor };
        let (seal, counters) = (Sealer::default().seal(), ServiceCounters::default());
        let footer = LedgerItem::Footer(LedgerFooter { seal, total_minor, counters, elsewhere });
        self.conclude_from(&self.record(), &[line(&footer)])
    }

    /// What the evidence comes to with other lines of record and ledger.
    #[must_use]
    pub fn conclude_from(&self, record: &[Vec<u8>], ledger: &[Vec<u8>]) -> Outcome {
        let report = self.judge_share(&self.history, record, ledger);
        let report = Report { prediction: Some(Prediction::of(&self.plan, 0..self.plan.count)), ..report };
        let setting = Setting { experiment: "lesson".to_owned(), ..Setting::default() };
        Outcome::of(&self.plan, report, setting)
    }

    /// What the judge counts for the share of one worker.
    #[must_use]
    pub fn judge_share(&self, history: &History, record: &[Vec<u8>], ledger: &[Vec<u8>]) -> Report {
        let mut record_tally = RecordTally::new(&self.plan, &self.run, history.share());
        record.iter().for_each(|line| record_tally.take(line));
        let mut ledger_tally = LedgerTally::new(&self.plan, &self.run, history.share(), self.baseline);
        ledger.iter().for_each(|line| ledger_tally.take(line));
        judge(&self.plan, history, &record_tally, &ledger_tally)
    }
}

fn sealed<T: Serialize>(items: impl Iterator<Item = T>) -> (Vec<Vec<u8>>, Seal) {
    let lines: Vec<_> = items.map(|item| line(&item)).collect();
    let mut sealer = Sealer::default();
    lines.iter().for_each(|line| sealer.add(line));
    (lines, sealer.seal())
}

fn line(item: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(item).expect("an item is JSON");
    line.push(b'\n');
    line
}

fn footer(run: &RunId) -> RecordFooter {
    RecordFooter {
        seal: Seal::default(),
        run_id: Some(run.to_string()),
        requests: 0,
        connections: 0,
        unattributed: 0,
        unintended_resets: 0,
        unrecorded: 0,
        lapsed: 0,
    }
}

fn request(plan: &Plan, attempt: &PredictedAttempt, seq: u64) -> RecordLine {
    let arrived = attempt.handling != Handling::NotReceived;
    let status = match attempt.handling {
        Handling::NotReceived | Handling::Interrupted => None,
        Handling::Booked(_) if attempt.outcome == AttemptOutcome::Unknown(Uncertainty::Retryable) => Some(500),
        Handling::Booked(_) => Some(200),
        Handling::Repeat(_) => Some(208),
        Handling::Refused(status) => Some(status),
    };
    let fault = plan.sampler.effective(&attempt.draw);
    let killed = KillTimes { ordered_us: seq, dead_us: Some(seq), serving_us: Some(seq) };
    let (reset, held_us, kill) = match fault.map(|fault| fault.effect) {
        None => (false, None, None),
        Some(Effect::Reset(_)) => (true, None, None),
        Some(Effect::Delay(delay)) => (false, Some(delay.lasts.ms() * 1_000), None),
        Some(Effect::Kill(kill)) => (!kill.at.is_after_response(), None, Some(killed)),
    };
    RecordLine {
        seq,
        t_us: seq,
        conn: seq,
        nth: 1,
        payment: attempt.id.payment.0,
        attempt: attempt.id.attempt,
        attributed: true,
        protocol: Protocol::Http1,
        coins: attempt.draw.coins().iter().map(|coin| Coin(*coin)).collect(),
        fault: fault.map(|fault| fault.name.clone()),
        at: fault.map(|fault| fault.effect.at()),
        bytes_up: if arrived { 200 } else { 0 },
        bytes_down: if reset { 0 } else { 100 },
        forwarded_whole: arrived,
        status,
        rst_client_ok: reset.then_some(true),
        rst_service_ok: None,
        held_us,
        took_us: Some(100),
        kill,
        bytes_reason: None,
        end: match attempt.outcome {
            AttemptOutcome::Unknown(Uncertainty::Timeout) => End::ClientGone,
            _ if reset || kill.is_some() => End::Faulted,
            _ => End::Relayed,
        },
    }
}
