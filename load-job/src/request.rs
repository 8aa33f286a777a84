//! The bytes of a payment's request. It must not know of sockets: a request is a function of the plan, the run and the attempt.

use std::io::Write as _;

use paylab_experiment::{
    contract::{ATTEMPT_HEADER, KEY_HEADER, PAYMENTS_PATH, REFERENCE_HEADER},
    payment::{AttemptId, RunId},
    plan::Plan,
    spec::{ConnectionPolicy, KeyPolicy},
};

/// Room for the numbers, the key and the body of one request, in bytes, so that it is allocated once.
const PATCH_LEN: usize = 512;

/// What all requests of a load have in common, made once.
#[derive(Debug)]
pub(crate) struct Template {
    /// The head up to and including the name of the first header that differs.
    head: Vec<u8>,
    /// The body up to the amount.
    body: String,
    run: RunId,
    key: KeyPolicy,
}

impl Template {
    /// A template for requests to `host` (`HOST:PORT`).
    pub(crate) fn new(plan: &Plan, run: &RunId, host: &str) -> Self {
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

    /// The whole request of one attempt, head and body, to be written at once.
    pub(crate) fn request(&self, plan: &Plan, id: AttemptId) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.head.len() + PATCH_LEN);
        bytes.extend_from_slice(&self.head);
        let reference = self.run.reference(id.payment);
        let amount = plan.amount_of(id.attempt).to_string();
        let body_len = self.body.len() + amount.len() + "\"}".len();
        write(&mut bytes, format_args!("{id}\r\n{REFERENCE_HEADER}: {reference}\r\n"));
        if let Some(key) = self.run.key(self.key, id) {
            write(&mut bytes, format_args!("{KEY_HEADER}: {key}\r\n"));
        }
        write(&mut bytes, format_args!("Content-Length: {body_len}\r\n\r\n{}{amount}\"}}", self.body));
        bytes
    }
}

fn write(bytes: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a Vec cannot fail.
    let _ = bytes.write_fmt(text);
}
