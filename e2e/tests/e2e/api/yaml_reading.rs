//! One reading of YAML: the API server and one machine read the same texts, accept the same ones, and name the same field of
//! the others.

use kube::Client;
use paylab_core::field_error::FieldError;
use paylab_resource::file;
use serde_json::Value;

const HEAD: &str =
    "apiVersion: paylab.dev/v1alpha1\nkind: ChaosExperiment\nmetadata: {name: reading}\nspec:\n  claim: ExactlyOnce\n";

/// Lines of a spec that both accept.
const ACCEPTED: [&str; 22] = [
    "  payments: {count: 1e+06}",
    "  payments: {count: 5.0}",
    "  payments: {count: 052}",
    "  payments: {count: 1_000}",
    "  payments: {count: null, amount: null, from: null}",
    "  seed: 052",
    "  seed: 0x2A",
    "  seed: +42",
    "  seed: 9223372036854775807",
    "  seed: null",
    "  client: {rate: 1e2}",
    "  client: {retry: null, hedge: ~}",
    "  client:",
    "  faults:",
    "  activeDeadline: null",
    "  service: {database: null, replicas: 1, keyTtl: null}",
    "  faults: [{name: a, probability: 3e-1, reset: {at: Connect}, delay: null, attempts: null, payments: null}]",
    "  faults: [{name: a, probability: 0.1, reset: {at: Connect}, attempts: [1.0, 2e0]}]",
    "  faults:\n  - {name: a, probability: 0.1, reset: &r {at: Connect}}\n  - {name: b, probability: 0.1, reset: {<<: *r}}",
    "  payments: {from: !!str 123}",
    "  minExposures: 100.0\n---",
    "  seed: 1\n...",
];

/// Lines of a spec that both refuse, and the field that both name.
const REFUSED: [(&str, &str); 19] = [
    ("  seed: 9223372036854775808", "spec.seed"),
    ("  seed: 1e19", "spec.seed"),
    ("  seed: \"5\"", "spec.seed"),
    ("  seed: -052", "spec.seed"),
    ("  seed: 1:30", "spec.seed"),
    ("  client: {concurrency: 99999999999}", "spec.client.concurrency"),
    ("  client: {rate: yes}", "spec.client.rate"),
    ("  payments: {count: 5.5}", "spec.payments.count"),
    ("  payments: {from: no}", "spec.payments.from"),
    ("  payments: {from: 123}", "spec.payments.from"),
    ("  payments: {amount: 1}", "spec.payments.amount"),
    ("  faults: [null]", "spec.faults[0]"),
    ("  faults: [{name: a, probability: 0.1, reset: {at: null}}]", "spec.faults[0].reset.at"),
    ("  service: {database: null, replicas: 2}", "spec.service.replicas"),
    ("  service: {database: {secretKeyRef: null}}", "spec.service.database.secretKeyRef"),
    ("  colour: red", "spec.colour"),
    ("  y: 1", "spec.true"),
    ("  seed: 1\n  seed: 2", "seed"),
    ("  faults:\n  - &f {name: a, probability: 0.1, reset: {at: Connect}}\n  - {<<: *f, name: b}", "name"),
];

/// Both accept the same texts, and refuse the same ones with the same field.
pub(crate) async fn is_the_same(client: &Client) {
    for lines in ACCEPTED {
        let text = format!("{HEAD}{lines}\n");
        post(client, &text).await.unwrap_or_else(|message| panic!("the API server refuses {lines}: {message}"));
        read(&text).unwrap_or_else(|message| panic!("one machine refuses {lines}: {message}"));
    }
    for (lines, field) in REFUSED {
        let text = format!("{HEAD}{lines}\n");
        let message = post(client, &text).await.expect_err(&format!("the API server accepts {lines}"));
        assert!(message.contains(field), "{lines}: {field}: {message}");
        let message = read(&text).expect_err(&format!("one machine accepts {lines}"));
        assert!(message.contains(field), "{lines}: {field}: {message}");
    }
}

/// Sends a text to the API server as a dry run, and returns the message of a refusal.
async fn post(client: &Client, text: &str) -> Result<(), String> {
    let path = "/apis/paylab.dev/v1alpha1/namespaces/default/chaosexperiments?dryRun=All&fieldValidation=Strict";
    let request = http::Request::post(path).header("content-type", "application/yaml");
    match client.request::<Value>(request.body(text.as_bytes().to_vec()).unwrap()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) => Err(status.message),
        Err(error) => panic!("the request to the API server failed: {error}"),
    }
}

/// Reads a text as `paylab` does on one machine, and returns the message of a refusal.
fn read(text: &str) -> Result<(), String> {
    let joined = |errors: Vec<FieldError>| errors.iter().map(FieldError::to_string).collect::<Vec<_>>().join("; ");
    file::parse(text, 0).map(drop).map_err(joined)
}
