//! The lesson's JSON: `POST /payments/` with `{src, dest, amount}`, and a status that says what became of it.

use std::io::Write as _;

use paylab_core::{
    client::{ConnectionPolicy, KeyPolicy},
    payment::AttemptId,
    plan::Plan,
    run_id::RunId,
    witness::attempt::{Acknowledgement, AttemptOutcome, Rejection, Uncertainty},
};
use paylab_part::contract::{ATTEMPT_HEADER, KEY_HEADER, PAYMENTS_PATH, REFERENCE_HEADER, REPLAYED_HEADER};

/// Space for the numbers, the key and the body of one request, in bytes, so that its buffer is allocated once.
const PATCH_LEN: usize = 512;

/// The parts that all requests of a load have in common, made once.
#[derive(Debug)]
pub(crate) struct Lesson {
    /// The head up to and including the name of the first header that differs.
    head: Vec<u8>,
    /// The body up to the amount.
    body: String,
    run: RunId,
    key: KeyPolicy,
}

impl Lesson {
    /// A template for requests to `host` (`HOST:PORT`).
    pub(super) fn new(plan: &Plan, run: &RunId, host: &str) -> Self {
        let connection = match plan.client.connection {
            ConnectionPolicy::PerAttempt => "Connection: close\r\n",
            ConnectionPolicy::KeepAlive => "",
        };
        let head = format!(
            "POST {PAYMENTS_PATH} HTTP/1.1\r\nHost: {host}\r\n{connection}Content-Type: application/json\r\n{ATTEMPT_HEADER}: "
        );
        let [src, dest] = [&plan.from, &plan.to].map(|account| serde_json::Value::from(account.as_str()));
        let body = format!("{{\"src\":{src},\"dest\":{dest},\"amount\":\"");
        Self { head: head.into_bytes(), body, run: run.clone(), key: plan.client.key }
    }

    /// The whole request of one attempt.
    pub(super) fn encode(&self, plan: &Plan, id: AttemptId) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.head.len() + PATCH_LEN);
        bytes.extend_from_slice(&self.head);
        let reference = self.run.reference(id.payment);
        let amount = plan.amount_of(id.attempt).to_string();
        let body_len = self.body.len() + amount.len() + "\"}".len();
        write(&mut bytes, format_args!("{id}\r\n{REFERENCE_HEADER}: {reference}\r\n"));
        if let Some(key) = self.key.key(&self.run, id) {
            write(&mut bytes, format_args!("{KEY_HEADER}: {key}\r\n"));
        }
        write(&mut bytes, format_args!("Content-Length: {body_len}\r\n\r\n{}{amount}\"}}", self.body));
        bytes
    }
}

/// The outcome of an attempt whose whole response has this status and these header fields.
pub(super) fn decode(status: u16, fields: &[httparse::Header<'_>]) -> AttemptOutcome {
    match status {
        208 => AttemptOutcome::Acknowledged(Acknowledgement::Repeat),
        200..=202 if is_replayed(fields) => AttemptOutcome::Acknowledged(Acknowledgement::Repeat),
        200..=202 => AttemptOutcome::Acknowledged(Acknowledgement::New),
        409 | 425 | 429 | 500..=599 => AttemptOutcome::Unknown(Uncertainty::Retryable),
        400..=499 => AttemptOutcome::Rejected(Rejection::Refused),
        _ => AttemptOutcome::Unknown(Uncertainty::Garbled),
    }
}

/// Whether the response was stored for an earlier request and is sent again.
fn is_replayed(fields: &[httparse::Header<'_>]) -> bool {
    fields.iter().any(|field| {
        field.name.eq_ignore_ascii_case(REPLAYED_HEADER) && field.value.trim_ascii().eq_ignore_ascii_case(b"true")
    })
}

fn write(bytes: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a Vec cannot fail.
    let _ = bytes.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_and_its_head_decide_the_outcome() {
        let replayed = [httparse::Header { name: "idempotency-replayed", value: b" True" }];
        for status in [200, 201, 202] {
            assert_eq!(decode(status, &[]), AttemptOutcome::Acknowledged(Acknowledgement::New), "{status}");
            assert_eq!(decode(status, &replayed), AttemptOutcome::Acknowledged(Acknowledgement::Repeat), "{status}");
        }
        assert_eq!(decode(208, &[]), AttemptOutcome::Acknowledged(Acknowledgement::Repeat));
        for status in [400, 401, 403, 404, 405, 413, 415, 422] {
            assert_eq!(decode(status, &[]), AttemptOutcome::Rejected(Rejection::Refused), "{status}");
        }
        for status in [409, 425, 429, 500, 502, 503, 504] {
            assert_eq!(decode(status, &[]), AttemptOutcome::Unknown(Uncertainty::Retryable), "{status}");
        }
        for status in [101, 203, 204, 206, 301, 304, 600, 999] {
            assert_eq!(decode(status, &[]), AttemptOutcome::Unknown(Uncertainty::Garbled), "{status}");
        }
    }

    #[test]
    fn a_header_that_does_not_say_true_marks_no_replay() {
        for (name, value) in [("Idempotency-Replayed", "false"), ("Idempotency-Replay", "true")] {
            let fields = [httparse::Header { name, value: value.as_bytes() }];
            assert_eq!(decode(200, &fields), AttemptOutcome::Acknowledged(Acknowledgement::New), "{name}: {value}");
        }
    }
}
