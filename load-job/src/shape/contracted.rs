//! The request that a contract describes, and what the contract says about the answers.

use std::{
    fmt::{self, Write as _},
    sync::Arc,
};

use paylab_contract::{
    Contract,
    answers::{self, Candidates, Reading},
    template::Filling,
};
use paylab_core::{
    client::{ConnectionPolicy, KeyPolicy},
    money::MinorUnits,
    payment::AttemptId,
    plan::Plan,
    run_id::RunId,
    witness::attempt::AttemptOutcome,
};
use paylab_part::contract::ATTEMPT_HEADER;

use super::{ByHead, Meaning, Rule, lesson};

/// Space for a usual request, in bytes, so that its buffer is allocated once.
const REQUEST_LEN: usize = 768;

/// Requests to the service of a contract.
#[derive(Debug)]
pub(crate) struct Contracted {
    contract: Arc<Contract>,
    run: RunId,
    key: KeyPolicy,
    connection: &'static str,
}

impl Contracted {
    /// Requests of one run.
    pub(crate) fn new(contract: Arc<Contract>, plan: &Plan, run: &RunId) -> Self {
        let connection = match plan.client.connection {
            ConnectionPolicy::PerAttempt => "Connection: close\r\n",
            ConnectionPolicy::KeepAlive => "",
        };
        Self { contract, run: run.clone(), key: plan.client.key, connection }
    }

    /// The whole request of one attempt.
    pub(super) fn encode(&self, plan: &Plan, id: AttemptId) -> Vec<u8> {
        let key = self.key.key(&self.run, id).unwrap_or_default();
        self.encode_with(plan, id, plan.amount_of(id.attempt), &key)
    }

    /// The same with another amount or key.
    pub(crate) fn encode_with(&self, plan: &Plan, id: AttemptId, amount: MinorUnits, key: &str) -> Vec<u8> {
        let contract = &self.contract;
        let reference = contract.reference(self.run.as_str(), id.payment.0);
        let filling = Filling { amount, key, ..filling(plan, &self.run, &reference, id) };
        let (pay, secrets) = (&contract.pay, contract.secrets());
        let (body, mut text) = (pay.body(&filling, secrets), String::with_capacity(REQUEST_LEN));
        let (host, connection) = (&contract.origin.host, self.connection);
        text.push_str("POST ");
        text.push_str(contract.origin.base());
        pay.write_path(&filling, secrets, &mut text);
        write(&mut text, format_args!(" HTTP/1.1\r\nHost: {host}\r\n{connection}{ATTEMPT_HEADER}: {id}\r\n"));
        pay.write_headers(&filling, secrets, &mut text);
        write(&mut text, format_args!("Content-Length: {}\r\n\r\n{body}", body.len()));
        text.into_bytes()
    }

    /// What a head says.
    pub(super) fn by_head(&self, status: u16, fields: &[httparse::Header<'_>]) -> ByHead {
        let value =
            |name: &str| fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value);
        let (reading, undecided) = match self.contract.answers.by_head(status, value) {
            answers::ByHead::Known(reading) => (reading, None),
            answers::ByHead::NeedsBody(candidates) => (Reading::default(), Some(candidates)),
        };
        ByHead { meaning: self.meaning(&reading, lesson::decode(status, fields)), undecided }
    }

    /// What a body decides; `by_http` is the meaning without it.
    pub(super) fn by_body(&self, by_http: Meaning, undecided: &Candidates, body: &[u8]) -> (Meaning, Option<String>) {
        let reading = self.contract.answers.by_body(undecided, body);
        let meaning = self.meaning(&reading, by_http.outcome);
        let is_acknowledged = matches!(meaning.outcome, AttemptOutcome::Acknowledged(_));
        (meaning, reading.identity.filter(|_| is_acknowledged))
    }

    fn meaning(&self, reading: &Reading, by_http: AttemptOutcome) -> Meaning {
        let rule = match reading.rule {
            Some(rule) => Rule::Matched(rule),
            None if self.contract.answers.has_rules() => Rule::Unmatched,
            None => Rule::Absent,
        };
        Meaning { outcome: reading.outcome.unwrap_or(by_http), rule }
    }
}

fn write(text: &mut String, more: fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(more);
}

/// What the placeholders of an attempt stand for.
pub(crate) fn filling<'a>(plan: &'a Plan, run: &'a RunId, reference: &'a str, id: AttemptId) -> Filling<'a> {
    Filling {
        reference,
        key: "",
        payment: id.payment.0,
        attempt: id.attempt,
        run: run.as_str(),
        amount: plan.amount_of(id.attempt),
        currency: &plan.currency,
        from: &plan.from,
        to: &plan.to,
    }
}
