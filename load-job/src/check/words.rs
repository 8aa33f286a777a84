//! What came back from the service, and what the ledger shows, in words.

use paylab_contract::ledger::ForeignEntry;
use paylab_core::witness::attempt::{Acknowledgement, AttemptOutcome, Rejection, Uncertainty};

use super::Checking;
use crate::{
    shape::Rule,
    wire::{Answer, Attempted, fields_of},
};

/// How much of an answer's head is shown, in characters.
const HEAD_SHOWN: usize = 200;

impl Checking<'_> {
    /// `2 entries of 1.00 EUR`.
    pub(super) fn entries_in_words(&self, entries: &[ForeignEntry]) -> String {
        let amounts: Vec<_> = entries.iter().map(|entry| self.amount_in_words(entry)).collect();
        match &amounts[..] {
            [] => "no entry in the ledger".to_owned(),
            [one] => format!("1 entry of {one}"),
            several => format!("{} entries of {}", several.len(), several.join(", ")),
        }
    }

    fn amount_in_words(&self, entry: &ForeignEntry) -> String {
        let currency = entry.currency.as_ref().unwrap_or(&self.load.plan.currency);
        format!("{} {}", entry.amount, currency.to_uppercase())
    }

    /// What came back, and which rule says what it means.
    pub(super) fn answered(&self, attempted: &Attempted) -> String {
        let meaning = meaning(attempted.outcome);
        match &attempted.answer {
            None => format!("{meaning} ({})", self.contract.origin.address),
            Some(Answer::NotUnderstood(reason)) => format!("{reason}, so it is {meaning}"),
            Some(Answer::Whole { status, rule, identity, head, beginning }) => {
                let rule = match rule {
                    Rule::Matched(rule) => format!(" by answers[{rule}]"),
                    Rule::Unmatched => " by HTTP, because no rule matches it".to_owned(),
                    Rule::Absent => String::new(),
                };
                let secrets = self.contract.secrets();
                let named = |identity: &String| format!(", named {}", secrets.redact(identity));
                let identity = identity.as_ref().map(named).unwrap_or_default();
                let beginning = secrets.redact(&String::from_utf8_lossy(beginning));
                let body =
                    if beginning.is_empty() { String::new() } else { format!(" ({})", beginning.escape_debug()) };
                let head = self.head_in_words(head);
                format!("{status}{body}, {meaning}{rule}{identity}{head}")
            }
        }
    }

    /// The head of an answer that no rule matched, on one line; nothing of any other.
    fn head_in_words(&self, head: &[u8]) -> String {
        let fields = self.contract.secrets().redact(&String::from_utf8_lossy(fields_of(head)));
        let line = fields.lines().collect::<Vec<_>>().join(", ");
        let shown: String = line.chars().take(HEAD_SHOWN).collect();
        if shown.is_empty() { shown } else { format!("; its head is: {}", shown.escape_debug()) }
    }
}

/// What an outcome is called.
const fn meaning(outcome: AttemptOutcome) -> &'static str {
    match outcome {
        AttemptOutcome::Acknowledged(Acknowledgement::New) => "acknowledged",
        AttemptOutcome::Acknowledged(Acknowledgement::Repeat) => "acknowledged as a repeat",
        AttemptOutcome::Rejected(Rejection::Refused) => "refused",
        AttemptOutcome::Rejected(Rejection::Unreached) => "nothing answers",
        AttemptOutcome::Rejected(Rejection::NoPort) => "this machine has no port left",
        AttemptOutcome::Unknown(Uncertainty::Retryable) => "to be tried again",
        AttemptOutcome::Unknown(Uncertainty::Garbled) => "not understood",
        AttemptOutcome::Unknown(Uncertainty::Timeout) => "no answer in time",
        AttemptOutcome::Unknown(Uncertainty::Reset) => "the connection was reset",
        AttemptOutcome::Unknown(Uncertainty::Eof) => "the connection ended before the answer",
        AttemptOutcome::Unknown(Uncertainty::Stopped) => "stopped",
    }
}
