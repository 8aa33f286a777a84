//! What a lie is told about: the evidence of a run, and the lines in which record and ledger are handed on.

use paylab_core::{
    fault::point::Point,
    outcome::Outcome,
    payment::PaymentId,
    plan::Plan,
    prediction,
    witness::{
        attempt::{AttemptOutcome, Ending},
        history::History,
        record::RecordLine,
        seal::Sealer,
    },
};
use paylab_testbed::evidence::Evidence;
use serde_json::Value;

/// The lines of a stream, each with its newline.
pub(crate) type Lines = Vec<Vec<u8>>;

/// What the client has noted of one payment.
pub(crate) type Course = (Vec<AttemptOutcome>, Ending);

/// The evidence of a run that is being falsified.
#[derive(Debug, Clone)]
pub(crate) struct Story {
    pub(crate) evidence: Evidence,
    /// The record's lines, where they are not those of the evidence.
    record: Option<Lines>,
    /// The ledger's lines, where they are not those of the evidence.
    ledger: Option<Lines>,
}

impl Story {
    /// A run in which everything goes as predicted.
    pub(crate) fn of(plan: Plan) -> Self {
        Self { evidence: Evidence::of(plan), record: None, ledger: None }
    }

    /// What the judge says of it.
    pub(crate) fn conclude(&self) -> Outcome {
        let record = self.record.clone().unwrap_or_else(|| self.evidence.record());
        let ledger = self.ledger.clone().unwrap_or_else(|| self.evidence.ledger());
        self.evidence.conclude_from(&record, &ledger)
    }

    /// The first payment whose first attempt met a fault at this point.
    pub(crate) fn first_struck(&self, at: Point) -> u64 {
        let mut struck = self.evidence.requests.iter().filter(|request| request.attempt == 1 && request.at == Some(at));
        struck.next().expect("the fault strikes somebody").payment
    }

    /// Books a payment once more.
    pub(crate) fn book(&mut self, payment: u64) {
        let entry = self.evidence.entry(payment, self.evidence.plan.amount.0);
        self.evidence.entries.push(entry);
    }

    /// Books something under another reference, or under none.
    pub(crate) fn book_as(&mut self, reference: Option<&str>) {
        self.book(0);
        self.evidence.entries.last_mut().expect("an entry").reference = reference.map(str::to_owned);
    }

    /// Takes the entries of a payment out of the ledger.
    pub(crate) fn unbook(&mut self, payment: u64) {
        let reference = self.evidence.run.reference(PaymentId(payment));
        self.evidence.entries.retain(|entry| entry.reference.as_deref() != Some(&reference));
    }

    /// The first entry of a payment.
    pub(crate) fn entry_of(&mut self, payment: u64) -> &mut paylab_core::witness::ledger::Entry {
        let reference = self.evidence.run.reference(PaymentId(payment));
        let mut entries = self.evidence.entries.iter_mut();
        entries.find(|entry| entry.reference.as_deref() == Some(&reference)).expect("it is booked")
    }

    /// The requests of a payment in the record.
    pub(crate) fn requests_of(&mut self, payment: u64) -> impl Iterator<Item = &mut RecordLine> {
        self.evidence.requests.iter_mut().filter(move |request| request.payment == payment)
    }

    /// The service has answered the whole requests of a payment with this status.
    pub(crate) fn answer(&mut self, payment: u64, status: u16) {
        self.requests_of(payment).for_each(|request| request.status = request.status.map(|_| status));
    }

    /// Another sender has sent the first request of a payment again through the proxy.
    pub(crate) fn send_again(&mut self, payment: u64) {
        let copy = self.requests_of(payment).next().expect("it was sent").clone();
        self.evidence.requests.push(copy);
        self.evidence.record_footer.connections += 1;
        self.evidence.service_requests += 1;
    }

    /// What the client has noted of every payment.
    pub(crate) fn courses(&self) -> Vec<Course> {
        let course = |payment| {
            let mut outcomes = Vec::new();
            prediction::walk(&self.evidence.plan, PaymentId(payment), |attempt| outcomes.push(attempt.outcome));
            let ending = outcomes.iter().find_map(|outcome| outcome.ending()).unwrap_or(Ending::GaveUp);
            (outcomes, ending)
        };
        self.evidence.history.share().map(course).collect()
    }

    /// Replaces what the client has noted of every payment.
    pub(crate) fn remember(&mut self, courses: &[Course]) {
        let mut history = History::new(self.evidence.history.share());
        for (payment, (outcomes, ending)) in (0..).map(PaymentId).zip(courses) {
            for (attempt, outcome) in (1..).zip(outcomes) {
                history.note(payment, attempt, *outcome);
            }
            history.end(payment, *ending);
        }
        self.evidence.history = history;
    }

    /// Replaces what the client has noted of one payment.
    pub(crate) fn remember_of(&mut self, payment: u64, outcomes: &[AttemptOutcome], ending: Ending) {
        let mut courses = self.courses();
        courses[usize::try_from(payment).expect("few payments")] = (outcomes.to_vec(), ending);
        self.remember(&courses);
    }

    /// Changes the lines of the record after they were sealed.
    pub(crate) fn bend_record(&mut self, bend: impl FnOnce(&mut Lines)) {
        bend(self.record.get_or_insert_with(|| self.evidence.record()));
    }

    /// Changes the lines of the ledger after they were sealed.
    pub(crate) fn bend_ledger(&mut self, bend: impl FnOnce(&mut Lines)) {
        bend(self.ledger.get_or_insert_with(|| self.evidence.ledger()));
    }

    /// Changes a line of the ledger that stays its footer; its seal covers only the lines before it.
    pub(crate) fn bend_ledger_footer(&mut self, bend: impl FnOnce(&mut Value)) {
        self.bend_ledger(|lines| {
            let mut footer: Value = serde_json::from_slice(&lines.pop().expect("a footer")).expect("it is JSON");
            bend(&mut footer["footer"]);
            lines.push(format!("{footer}\n").into_bytes());
        });
    }

    /// Hides the last entry of the ledger behind a window, and seals what is left.
    pub(crate) fn hide_last_entry(&mut self) {
        let amount = self.evidence.entries.last().expect("an entry").amount_minor;
        let mut sealer = Sealer::default();
        self.bend_ledger(|lines| {
            lines.remove(lines.len() - 2);
            lines[..lines.len() - 1].iter().for_each(|line| sealer.add(line));
        });
        self.bend_ledger_footer(|footer| {
            let seal = sealer.seal();
            footer["elsewhere"] = serde_json::json!({"entries": 1, "amount_minor": amount});
            (footer["lines"], footer["sha256"]) = (seal.lines.into(), seal.sha256.into());
        });
    }
}
