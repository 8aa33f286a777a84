//! The shape of a payment's request and of its responses: how an attempt is encoded, and what a response means for the client. One file
//! for each kind. It must not know of sockets, retries or the framing of HTTP.

mod lesson;

use paylab_core::{payment::AttemptId, plan::Plan, run_id::RunId, witness::attempt::AttemptOutcome};

use self::lesson::Lesson;

/// The kinds of request.
#[derive(Debug)]
pub(crate) enum Shape {
    /// The lesson's JSON, as Paylab's own service takes it.
    Lesson(Lesson),
}

impl Shape {
    /// The shape that a plan asks for, for requests to `host` (`HOST:PORT`).
    pub(crate) fn new(plan: &Plan, run: &RunId, host: &str) -> Self {
        Self::Lesson(Lesson::new(plan, run, host))
    }

    /// The whole request of one attempt, head and body, to be written at once.
    pub(crate) fn encode(&self, plan: &Plan, id: AttemptId) -> Vec<u8> {
        match self {
            Self::Lesson(lesson) => lesson.encode(plan, id),
        }
    }

    /// What the client may believe after a final response with this head, once all of the response has come.
    pub(crate) fn decode(&self, status: u16, fields: &[httparse::Header<'_>]) -> AttemptOutcome {
        match self {
            Self::Lesson(_) => lesson::decode(status, fields),
        }
    }
}
