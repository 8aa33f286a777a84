//! The shape of a payment's request and of its responses: how an attempt is encoded, and what a response means for the client. One file
//! for each kind. It must not know of sockets, retries or the framing of HTTP.

mod contracted;
mod lesson;

use paylab_contract::answers::Candidates;
use paylab_core::{payment::AttemptId, plan::Plan, witness::attempt::AttemptOutcome};

pub(crate) use self::contracted::{Contracted, filling};
use self::lesson::Lesson;
use crate::load::Load;

/// The kinds of request.
#[derive(Debug)]
pub(crate) enum Shape {
    /// The lesson's JSON, as Paylab's own service takes it.
    Lesson(Lesson),
    /// What a contract says.
    Contracted(Box<Contracted>),
}

/// What the head of a final response says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ByHead {
    /// What the client may believe once all of the response has come, unless the body says otherwise.
    pub(crate) meaning: Meaning,
    /// What the body has to decide; `None`: nothing.
    pub(crate) undecided: Option<Candidates>,
}

/// What a whole response means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meaning {
    /// What the client may believe.
    pub(crate) outcome: AttemptOutcome,
    /// Which rule says so.
    pub(crate) rule: Rule,
}

/// Which rule for answers has matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// There are no rules.
    Absent,
    /// This one, from 0.
    Matched(usize),
    /// None of them.
    Unmatched,
}

impl Shape {
    /// The shape of a load's requests.
    pub(crate) fn new(load: &Load) -> Self {
        match &load.contract {
            Some(contract) => Self::Contracted(Box::new(Contracted::new(contract.clone(), &load.plan, &load.run))),
            None => Self::Lesson(Lesson::new(&load.plan, &load.run, &load.proxy)),
        }
    }

    /// The whole request of one attempt, head and body, to be written at once.
    pub(crate) fn encode(&self, plan: &Plan, id: AttemptId) -> Vec<u8> {
        match self {
            Self::Lesson(lesson) => lesson.encode(plan, id),
            Self::Contracted(contracted) => contracted.encode(plan, id),
        }
    }

    /// What a final response with this head means.
    pub(crate) fn by_head(&self, status: u16, fields: &[httparse::Header<'_>]) -> ByHead {
        match self {
            Self::Lesson(_) => {
                let meaning = Meaning { outcome: lesson::decode(status, fields), rule: Rule::Absent };
                ByHead { meaning, undecided: None }
            }
            Self::Contracted(contracted) => contracted.by_head(status, fields),
        }
    }

    /// What the body decides, and what it calls the payment.
    pub(crate) fn by_body(&self, meaning: Meaning, undecided: &Candidates, body: &[u8]) -> (Meaning, Option<String>) {
        match self {
            Self::Lesson(_) => (meaning, None),
            Self::Contracted(contracted) => contracted.by_body(meaning, undecided, body),
        }
    }
}
