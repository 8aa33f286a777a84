//! What the tests of this crate share: the lesson's plans, and the evidence of runs in which all goes as predicted.

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    contract::ServiceCounters,
    evidence::Sealer,
    history::History,
    judge::judge,
    ledger::{Entry, LedgerFooter, LedgerItem, LedgerTally},
    payment::{PaymentId, RunId},
    plan::Plan,
    predict::{Effect, Prediction, Step, walk},
    record::{Coin, End, Protocol, RecordFooter, RecordItem, RecordLine, RecordTally},
    report::Report,
    spec::ChaosExperimentSpec,
    verdict::{Conclusion, conclude},
};

/// The lesson, seed 42, with parts of its spec replaced (merged in depth).
pub(crate) fn lesson(changes: &Value) -> Plan {
    let mut spec = json!({
        "claim": "ExactlyOnce",
        "seed": 42,
        "faults": [
            {"name": "request-lost", "probability": 0.3, "reset": {"at": "BeforeRequest"}},
            {"name": "response-lost", "probability": 0.3, "reset": {"at": "BeforeResponse"}},
        ],
    });
    merge(&mut spec, changes);
    let spec: ChaosExperimentSpec = serde_json::from_value(spec).unwrap();
    Plan::parse(&spec, 0).unwrap()
}

/// The lesson's fourth part: one key per payment, a unique column.
pub(crate) fn safe_lesson() -> Plan {
    lesson(&json!({"client": {"idempotencyKey": "PerPayment"}, "service": {"dedup": "UniqueKey"}}))
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

/// The three witnesses of a run, to be bent by a test before they are judged.
pub(crate) struct Evidence {
    pub(crate) plan: Plan,
    pub(crate) run: RunId,
    pub(crate) history: History,
    pub(crate) requests: Vec<RecordLine>,
    pub(crate) record_footer: RecordFooter,
    pub(crate) entries: Vec<Entry>,
    pub(crate) service_requests: u64,
}

impl Evidence {
    /// A run in which everything goes as predicted.
    pub(crate) fn of(plan: Plan) -> Self {
        let run: RunId = "run-1".parse().unwrap();
        let mut evidence = Self {
            history: History::new(0..plan.count),
            requests: Vec::new(),
            entries: Vec::new(),
            service_requests: 0,
            record_footer: footer(&run),
            plan,
            run,
        };
        for payment in (0..evidence.plan.count).map(PaymentId) {
            let mut steps = Vec::new();
            walk(&evidence.plan, payment, |step| steps.push(*step));
            steps.iter().for_each(|step| evidence.add(step));
        }
        evidence.record_footer.connections = evidence.requests.len() as u64;
        evidence
    }

    fn add(&mut self, step: &Step) {
        self.history.note(step.id.payment, step.id.attempt, step.outcome);
        self.requests.push(request(&self.plan, step, self.requests.len() as u64));
        self.service_requests += u64::from(step.effect != Effect::Unseen);
        if let Effect::Booked(_) = step.effect {
            let entry = self.entry(step.id.payment.0, self.plan.amount_of(step.id.attempt).0);
            self.entries.push(entry);
        }
    }

    /// An entry that could be the ledger's next.
    pub(crate) fn entry(&self, payment: u64, amount_minor: i64) -> Entry {
        let reference = Some(self.run.reference(PaymentId(payment)));
        let id = self.entries.last().map_or(1, |last| last.id + 1);
        Entry { id, reference, src: self.plan.from.clone(), dest: self.plan.to.clone(), amount_minor }
    }

    pub(crate) fn record(&self) -> Vec<Vec<u8>> {
        let items = self.requests.iter().cloned().map(RecordItem::Request);
        let (mut lines, seal) = sealed(items);
        lines.push(line(&RecordItem::Footer(RecordFooter { seal, ..self.record_footer.clone() })));
        lines
    }

    pub(crate) fn ledger(&self) -> Vec<Vec<u8>> {
        let total_minor = self.entries.iter().map(|entry| entry.amount_minor).sum();
        let counters = ServiceCounters { requests: self.service_requests, ..ServiceCounters::default() };
        let (mut lines, seal) = sealed(self.entries.iter().cloned().map(LedgerItem::Entry));
        lines.push(line(&LedgerItem::Footer(LedgerFooter { seal, total_minor, counters })));
        lines
    }

    pub(crate) fn conclude(&self) -> (Report, Conclusion) {
        self.conclude_from(&self.record(), &self.ledger())
    }

    pub(crate) fn conclude_from(&self, record: &[Vec<u8>], ledger: &[Vec<u8>]) -> (Report, Conclusion) {
        let report = self.judge_share(&self.history, record, ledger);
        let conclusion = conclude(&self.plan, &report, &Prediction::of(&self.plan, 0..self.plan.count));
        (report, conclusion)
    }

    pub(crate) fn judge_share(&self, history: &History, record: &[Vec<u8>], ledger: &[Vec<u8>]) -> Report {
        let mut record_tally = RecordTally::new(&self.plan, &self.run, history.share());
        record.iter().for_each(|line| record_tally.take(line));
        let mut ledger_tally = LedgerTally::new(&self.plan, &self.run, history.share());
        ledger.iter().for_each(|line| ledger_tally.take(line));
        judge(&self.plan, history, &record_tally, &ledger_tally)
    }
}

fn sealed<T: Serialize>(items: impl Iterator<Item = T>) -> (Vec<Vec<u8>>, crate::evidence::Seal) {
    let lines: Vec<_> = items.map(|item| line(&item)).collect();
    let mut sealer = Sealer::default();
    lines.iter().for_each(|line| sealer.add(line));
    (lines, sealer.seal())
}

fn line(item: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(item).unwrap();
    line.push(b'\n');
    line
}

fn footer(run: &RunId) -> RecordFooter {
    RecordFooter {
        seal: crate::evidence::Seal::default(),
        run_id: Some(run.to_string()),
        requests: 0,
        connections: 0,
        unattributed: 0,
        unintended_resets: 0,
        unrecorded: 0,
        lapsed: 0,
    }
}

fn request(plan: &Plan, step: &Step, seq: u64) -> RecordLine {
    let arrived = step.effect != Effect::Unseen;
    let status = match step.effect {
        Effect::Unseen => None,
        Effect::Booked(_) => Some(200),
        Effect::Repeat => Some(208),
        Effect::Refused(status) => Some(status),
    };
    RecordLine {
        seq,
        t_us: seq,
        conn: seq,
        nth: 1,
        payment: step.id.payment.0,
        attempt: step.id.attempt,
        attributed: true,
        protocol: Protocol::Http1,
        coins: step.draw.coins().iter().map(|coin| Coin(*coin)).collect(),
        fault: step.draw.effective.map(|index| plan.faults[index].name.clone()),
        at: step.point,
        bytes_up: if arrived { 200 } else { 0 },
        bytes_down: if step.point.is_none() { 100 } else { 0 },
        forwarded_whole: arrived,
        status,
        rst_client_ok: step.point.map(|_| true),
        rst_service_ok: None,
        end: if step.point.is_some() { End::Faulted } else { End::Relayed },
    }
}
