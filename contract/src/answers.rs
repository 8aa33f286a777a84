//! What an answer means. Most rules are decided by the status and the headers; only where a rule or the identity needs the body is the
//! body read.

use paylab_core::{
    targets::handling::RepeatAnswer,
    witness::attempt::{Acknowledgement, AttemptOutcome, Rejection, Uncertainty},
};
use serde_json::Value;

use crate::{
    path::{Condition, Path},
    spec::Meaning,
};

/// Longer bodies are not looked into, in bytes.
pub const BODY_LEN_MAX: usize = 64 * 1024;

/// The rules of a contract.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    rules: Vec<Rule>,
    identity: Option<Path>,
}

/// One rule.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) statuses: Vec<u16>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) meaning: Meaning,
}

/// What the head of an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ByHead {
    /// Enough: the body need not be read.
    Known(Reading),
    /// The body decides.
    NeedsBody(Candidates),
}

/// The rules that the head leaves open, by their index, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidates(Vec<usize>);

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// The rule that matched; `None`: none has, and the answer means what HTTP says.
    pub rule: Option<usize>,
    /// What the client may believe; `None`: what HTTP says.
    pub outcome: Option<AttemptOutcome>,
    /// What the answer calls the payment.
    pub identity: Option<String>,
}

impl Answers {
    pub(crate) const fn new(rules: Vec<Rule>, identity: Option<Path>) -> Self {
        Self { rules, identity }
    }

    /// The rules in words, for a report.
    #[must_use]
    pub fn labels(&self) -> Vec<String> {
        self.rules.iter().map(Rule::label).collect()
    }

    /// Whether an acknowledgement of a repeat can be told from one of a new payment. What HTTP says can tell it.
    #[must_use]
    pub fn repeat_answer(&self) -> RepeatAnswer {
        let tells = self.rules.is_empty() || self.rules.iter().any(|rule| rule.meaning == Meaning::Repeat);
        if tells { RepeatAnswer::Marked } else { RepeatAnswer::LikeNew }
    }

    /// Whether there are rules.
    #[must_use]
    pub const fn has_rules(&self) -> bool {
        !self.rules.is_empty()
    }

    /// What a head says. `header` answers the value of a field.
    pub fn by_head<'a>(&self, status: u16, header: impl Fn(&str) -> Option<&'a [u8]>) -> ByHead {
        let fits = |rule: &Rule| {
            (rule.statuses.is_empty() || rule.statuses.contains(&status))
                && rule.headers.iter().all(|(name, value)| {
                    header(name).is_some_and(|found| found.trim_ascii().eq_ignore_ascii_case(value.as_bytes()))
                })
        };
        let mut open = Vec::new();
        for (index, rule) in self.rules.iter().enumerate().filter(|(_, rule)| fits(rule)) {
            if rule.conditions.is_empty() {
                if open.is_empty() && !self.needs_identity(rule.outcome()) {
                    return ByHead::Known(Reading { rule: Some(index), outcome: Some(rule.outcome()), identity: None });
                }
                open.push(index);
                return ByHead::NeedsBody(Candidates(open));
            }
            open.push(index);
        }
        // What HTTP makes of a 2xx is an acknowledgement, which may have an identity.
        if open.is_empty() && !(self.identity.is_some() && (200..300).contains(&status)) {
            return ByHead::Known(Reading::default());
        }
        ByHead::NeedsBody(Candidates(open))
    }

    /// What the body says, where the head has left it open. A body that is cut off at [`BODY_LEN_MAX`] is no JSON, and meets no condition.
    #[must_use]
    pub fn by_body(&self, Candidates(open): &Candidates, body: &[u8]) -> Reading {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let matches = |index: &&usize| self.rules[**index].conditions.iter().all(|condition| condition.holds(&body));
        let rule = open.iter().find(matches).copied();
        let outcome = rule.map(|index| self.rules[index].outcome());
        let may_be_named = outcome.is_none_or(|outcome| self.needs_identity(outcome));
        let identity = self.identity.as_ref().filter(|_| may_be_named).and_then(|path| path.text(&body));
        Reading { rule, outcome, identity }
    }

    const fn needs_identity(&self, outcome: AttemptOutcome) -> bool {
        self.identity.is_some() && matches!(outcome, AttemptOutcome::Acknowledged(_))
    }
}

impl Rule {
    const fn outcome(&self) -> AttemptOutcome {
        match self.meaning {
            Meaning::Acknowledged => AttemptOutcome::Acknowledged(Acknowledgement::New),
            Meaning::Repeat => AttemptOutcome::Acknowledged(Acknowledgement::Repeat),
            Meaning::InFlight | Meaning::Unknown => AttemptOutcome::Unknown(Uncertainty::Retryable),
            Meaning::Rejected => AttemptOutcome::Rejected(Rejection::Refused),
        }
    }

    fn label(&self) -> String {
        let statuses: Vec<_> = self.statuses.iter().map(ToString::to_string).collect();
        let statuses = if statuses.is_empty() { "any".to_owned() } else { statuses.join("/") };
        format!("{statuses} {:?}", self.meaning)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::spec::AnswerSpec;

    fn answers(rules: &Value, identity: Option<&str>) -> Answers {
        let specs: Vec<AnswerSpec> = serde_json::from_value(rules.clone()).unwrap();
        let mut errors = Vec::new();
        let rules = crate::compile::rules(&specs, "answers", &mut errors);
        assert_eq!(errors, []);
        Answers::new(rules, identity.map(|path| Path::parse(path).unwrap()))
    }

    fn read(answers: &Answers, status: u16, headers: &[(&str, &str)], body: &str) -> (Reading, bool) {
        let header = |name: &str| {
            headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_bytes())
        };
        match answers.by_head(status, header) {
            ByHead::Known(reading) => (reading, false),
            ByHead::NeedsBody(candidates) => (answers.by_body(&candidates, body.as_bytes()), true),
        }
    }

    #[test]
    fn the_first_rule_that_matches_counts_and_a_body_is_read_only_where_it_decides() {
        let answers = answers(
            &json!([
                {"status": [200], "header": {"Idempotent-Replayed": "true"}, "means": "Repeat"},
                {"status": [200, 201], "json": {"$.status": ["succeeded"]}, "means": "Acknowledged"},
                {"status": [409], "json": {"$.error.code": ["conflict"]}, "means": "Repeat"},
                {"status": [409], "means": "InFlight"},
                {"status": [400, 402], "means": "Rejected"},
            ]),
            None,
        );
        let retry = AttemptOutcome::Unknown(Uncertainty::Retryable);
        let acknowledged = AttemptOutcome::Acknowledged(Acknowledgement::New);
        let repeat = AttemptOutcome::Acknowledged(Acknowledgement::Repeat);
        let refused = AttemptOutcome::Rejected(Rejection::Refused);
        for (status, headers, body, rule, outcome, needs_body) in [
            (200, &[("idempotent-replayed", "TRUE")][..], "", Some(0), Some(repeat), false),
            (201, &[], r#"{"status": "succeeded"}"#, Some(1), Some(acknowledged), true),
            (201, &[], r#"{"status": "pending"}"#, None, None, true),
            (201, &[], "no JSON", None, None, true),
            (409, &[], r#"{"error": {"code": "conflict"}}"#, Some(2), Some(repeat), true),
            (409, &[], r#"{"error": {"code": "other"}}"#, Some(3), Some(retry), true),
            (402, &[], "", Some(4), Some(refused), false),
            (500, &[], "", None, None, false),
        ] {
            let (reading, read_body) = read(&answers, status, headers, body);
            assert_eq!((reading.rule, reading.outcome, read_body), (rule, outcome, needs_body), "{status} {body}");
        }
    }

    #[test]
    fn only_an_acknowledgement_names_its_payment() {
        let answers = answers(&json!([{"status": [409], "means": "InFlight"}]), Some("$.id"));
        let identity = |status, body| read(&answers, status, &[], body).0.identity;
        assert_eq!(identity(200, r#"{"id": "pay_1"}"#).as_deref(), Some("pay_1"));
        assert_eq!(identity(201, r#"{"id": 17}"#).as_deref(), Some("17"));
        assert_eq!(identity(409, r#"{"id": "pay_1"}"#), None);
        assert_eq!(identity(200, "{}"), None);
    }
}
