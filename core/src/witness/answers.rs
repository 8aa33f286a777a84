//! What came back to the client: how many answers of each status, why others were not understood, and what refusals said.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// At most this many different statuses are counted apart, and as many reasons.
const KINDS_MAX: usize = 12;
/// At most this many answers are kept as examples, one for each status.
const EXAMPLES_MAX: usize = 3;
/// An example is cut to this many characters.
const EXAMPLE_LEN_MAX: usize = 80;
/// The head of an answer is cut to this many characters.
const HEAD_LEN_MAX: usize = 200;

/// The answers that a client has received.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Answers {
    /// Whole answers, by status.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub statuses: BTreeMap<u16, u64>,
    /// Answers that were not understood, by the reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub not_understood: BTreeMap<String, u64>,
    /// Whole answers of further statuses, and answers that were not understood for further reasons.
    #[serde(skip_serializing_if = "is_zero")]
    pub others: u64,
    /// How many answers each rule of a contract has matched, by the number of the rule, from 0.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rules: BTreeMap<u16, u64>,
    /// Whole answers that no rule of a contract has matched.
    #[serde(skip_serializing_if = "is_zero")]
    pub without_rule: u64,
    /// The first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_without_rule: Option<UnmatchedAnswer>,
    /// The first answer of a few statuses that acknowledge nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<AnswerExample>,
}

/// What an answer that acknowledged nothing has said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerExample {
    /// Its status.
    pub status: u16,
    /// The beginning of its body.
    pub text: String,
}

/// An answer that no rule of a contract has matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmatchedAnswer {
    /// Its status.
    pub status: u16,
    /// The beginning of its head without the status, on one line.
    pub head: String,
    /// The beginning of its body.
    pub text: String,
}

impl Answers {
    /// Counts a whole answer.
    pub fn count_status(&mut self, status: u16) {
        count(&mut self.statuses, status, 1, &mut self.others);
    }

    /// Counts what the rules of a contract made of an answer: the number of the rule that matched, or none.
    pub fn count_rule(&mut self, rule: Option<usize>) {
        match rule.and_then(|rule| u16::try_from(rule).ok()) {
            Some(rule) => *self.rules.entry(rule).or_default() += 1,
            None => self.without_rule += 1,
        }
    }

    /// Counts an answer that was not understood.
    pub fn count_not_understood(&mut self, reason: &str) {
        count(&mut self.not_understood, reason.to_owned(), 1, &mut self.others);
    }

    /// Whether an answer of this status would be kept as an example.
    #[must_use]
    pub fn wants_example(&self, status: u16) -> bool {
        self.examples.len() < EXAMPLES_MAX && self.examples.iter().all(|example| example.status != status)
    }

    /// Keeps the beginning of a body as an example, if there is none of its status and space is left. Control characters are left out.
    pub fn keep_example(&mut self, status: u16, body: &[u8]) {
        if self.wants_example(status) {
            let text = printable(&String::from_utf8_lossy(body));
            self.examples.push(AnswerExample { status, text });
        }
    }

    /// Keeps how an answer begins that no rule has matched, if it is the first.
    pub fn keep_unmatched(&mut self, status: u16, head: &str, body: &str) {
        self.first_without_rule.get_or_insert_with(|| UnmatchedAnswer {
            status,
            head: head.lines().collect::<Vec<_>>().join(", ").chars().take(HEAD_LEN_MAX).collect(),
            text: printable(body),
        });
    }

    /// Adds the answers that another share has received.
    pub(crate) fn merge(&mut self, other: Self) {
        let Self { statuses, not_understood, others, rules, without_rule, first_without_rule, examples } = other;
        self.others += others;
        self.without_rule += without_rule;
        self.first_without_rule = self.first_without_rule.take().or(first_without_rule);
        for (rule, number) in rules {
            *self.rules.entry(rule).or_default() += number;
        }
        for (status, number) in statuses {
            count(&mut self.statuses, status, number, &mut self.others);
        }
        for (reason, number) in not_understood {
            count(&mut self.not_understood, reason, number, &mut self.others);
        }
        for AnswerExample { status, text } in examples {
            self.keep_example(status, text.as_bytes());
        }
    }

    /// The answers in words, such as `400: 20, 503: 7 ("busy")`; empty if there were none but acknowledgements.
    #[must_use]
    pub fn words(&self) -> String {
        let example = |status: u16| {
            let example = self.examples.iter().find(|example| example.status == status && !example.text.is_empty());
            example.map(|example| format!(" ({})", example.text)).unwrap_or_default()
        };
        let unusual = self.statuses.iter().filter(|(status, _)| !matches!(status, 200..=202 | 208));
        let statuses = unusual.map(|(status, number)| format!("{status}: {number}{}", example(*status)));
        let reasons = self.not_understood.iter().map(|(reason, number)| format!("{reason}: {number}"));
        let others = (self.others > 0).then(|| format!("others: {}", self.others));
        statuses.chain(reasons).chain(others).collect::<Vec<_>>().join(", ")
    }
}

/// The beginning of a text, without control characters.
fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(EXAMPLE_LEN_MAX).collect()
}

fn count<K: Ord>(counts: &mut BTreeMap<K, u64>, kind: K, number: u64, others: &mut u64) {
    if counts.len() < KINDS_MAX || counts.contains_key(&kind) {
        *counts.entry(kind).or_default() += number;
    } else {
        *others += number;
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_status_and_only_the_unusual_are_told() {
        let mut answers = Answers::default();
        [200, 208, 422, 422, 503].into_iter().for_each(|status| answers.count_status(status));
        answers.keep_example(422, b"{\"title\":\"no\"}\n");
        answers.keep_example(422, b"another");
        answers.count_not_understood("the head has more than 65536 bytes");
        assert_eq!(answers.words(), r#"422: 2 ({"title":"no"}), 503: 1, the head has more than 65536 bytes: 1"#);
        let mut both = answers.clone();
        both.merge(answers);
        assert_eq!((both.statuses[&422], both.examples.len()), (4, 1));
    }

    #[test]
    fn of_the_answers_without_a_rule_the_first_is_kept_with_its_head() {
        let (mut answers, mut others) = (Answers::default(), Answers::default());
        others.keep_unmatched(202, "Content-Type: text/html\r\nServer: x\r\n", "<html>\n");
        others.keep_unmatched(203, "", "");
        answers.merge(others);
        let UnmatchedAnswer { status, head, text } = answers.first_without_rule.unwrap();
        assert_eq!((status, head.as_str(), text.as_str()), (202, "Content-Type: text/html, Server: x", "<html>"));
    }

    #[test]
    fn many_different_statuses_take_bounded_space() {
        let mut answers = Answers::default();
        (300..400).for_each(|status| {
            answers.count_status(status);
            answers.keep_example(status, &[b'x'; 1000]);
        });
        assert_eq!((answers.statuses.len(), answers.others), (KINDS_MAX, 100 - KINDS_MAX as u64));
        assert!(answers.examples.iter().all(|example| example.text.len() == EXAMPLE_LEN_MAX));
        assert_eq!(answers.examples.len(), EXAMPLES_MAX);
    }
}
