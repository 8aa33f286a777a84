//! The file of experiments. A laptop reads it as `kubectl` and the API server do, and refuses what they refuse. Everything that
//! is wrong is reported at once, each with the path of its field and what is allowed.

use paylab_contract::Contract;
use paylab_core::{field_error::FieldError, plan::Plan};
use serde_json::Value;

use crate::{plan, spec::ChaosExperiment, validation, yaml};

/// Longer files are refused: more than any resource of a cluster can hold.
pub const FILE_LEN_MAX: usize = 1024 * 1024;
/// At most this many errors of a file are reported.
pub const ERRORS_TOLD_MAX: usize = 20;

/// What a text without an experiment lacks.
const EXPECTED: &str =
    "an experiment has apiVersion: paylab.dev/v1alpha1, kind: ChaosExperiment, a metadata.name and a spec with a claim";

/// An experiment that can be run.
#[derive(Debug, Clone)]
pub struct Experiment {
    /// The resource as written.
    pub resource: ChaosExperiment,
    /// Its plan.
    pub plan: Plan,
    /// The contract of the user's own service; `None`: Paylab's own service is paid.
    pub contract: Option<Contract>,
}

/// Reads the only experiment of a text. `drawn_seed` is used when it names no seed.
///
/// # Errors
/// Everything that is wrong, one error each, in the order of fields.
pub fn parse(text: &str, drawn_seed: u64) -> Result<Experiment, Vec<FieldError>> {
    let mut experiments = parse_all(text, || drawn_seed)?;
    match (experiments.pop(), experiments.len()) {
        (Some(only), 0) => Ok(only),
        (_, others) => {
            Err(vec![FieldError::new("", format!("holds {} experiments; exactly one is expected here", others + 1))])
        }
    }
}

/// Reads the experiments of a text, one of each document, in their order. `drawn_seed` is asked for a seed for each that names
/// none.
///
/// # Errors
/// Everything that is wrong in all documents, one error each, by document and field; at most [`ERRORS_TOLD_MAX`] of them, and
/// then how many more there are.
pub fn parse_all(text: &str, mut drawn_seed: impl FnMut() -> u64) -> Result<Vec<Experiment>, Vec<FieldError>> {
    if text.len() > FILE_LEN_MAX {
        return Err(vec![FieldError::new("", format!("has more than {FILE_LEN_MAX} bytes"))]);
    }
    let documents = yaml::documents(text);
    if documents.is_empty() {
        return Err(vec![FieldError::new("", format!("is empty; {EXPECTED}"))]);
    }
    let several = documents.len() > 1;
    let (mut experiments, mut refused) = (Vec::new(), Vec::new());
    for (index, document) in documents.into_iter().enumerate() {
        match document.and_then(|resource| experiment(resource, &mut drawn_seed)) {
            Ok(experiment) => experiments.push(experiment),
            Err(errors) if several => refused.extend(errors.into_iter().map(|error| in_document(index + 1, error))),
            Err(errors) => refused.extend(errors),
        }
    }
    if refused.is_empty() { Ok(experiments) } else { Err(first_of(refused)) }
}

fn experiment(mut resource: Value, drawn_seed: &mut impl FnMut() -> u64) -> Result<Experiment, Vec<FieldError>> {
    let Value::Object(fields) = &mut resource else {
        return Err(vec![FieldError::new("", format!("is not a resource; {EXPECTED}"))]);
    };
    // The API server drops the status of a new resource too.
    fields.remove("status");
    validation::prune_nulls(&mut resource);
    let errors = validation::check_resource(&resource);
    if !errors.is_empty() {
        return Err(errors);
    }
    let resource: ChaosExperiment =
        serde_json::from_value(resource).map_err(|error| vec![FieldError::new("", error.to_string())])?;
    let seed = if resource.spec.seed.is_none() { drawn_seed() } else { 0 };
    let plan = plan::plan(&resource.spec, seed)?;
    let contract = plan::contract(&resource.spec)?;
    Ok(Experiment { resource, plan, contract })
}

fn in_document(number: usize, error: FieldError) -> FieldError {
    let FieldError { field, problem } = error;
    let separator = if field.is_empty() { "" } else { ": " };
    FieldError { field: format!("document {number}{separator}{field}"), problem }
}

/// As many errors as a terminal shows, and the number of the others.
fn first_of(mut errors: Vec<FieldError>) -> Vec<FieldError> {
    if errors.len() > ERRORS_TOLD_MAX {
        // The last line tells the number of the others.
        let others = errors.len() - (ERRORS_TOLD_MAX - 1);
        errors.truncate(ERRORS_TOLD_MAX - 1);
        errors.push(FieldError::new("", format!("and {others} more")));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "apiVersion: paylab.dev/v1alpha1
kind: ChaosExperiment
metadata: {name: a}
spec:
  claim: ExactlyOnce
";

    fn faults_of(text: &str) -> String {
        let errors = parse(text, 0).unwrap_err();
        errors.iter().map(FieldError::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_smallest_experiment_has_every_default() {
        let Experiment { resource, plan, .. } = parse(GOOD, 7).unwrap();
        assert_eq!(resource.metadata.name.as_deref(), Some("a"));
        assert_eq!((plan.count, plan.amount.0, plan.seed(), plan.client.concurrency), (1000, 100, 7, 8));
    }

    #[test]
    fn every_error_is_reported_at_once_with_its_field_and_what_is_allowed() {
        let text = r#"apiVersion: v1
kind: ChaosExperiment
metadata: {name: Never_}
spec:
  claim: Twice
  seed: -1
  colour: red
  payments: {count: 0, amount: 1.5, currency: euro, from: ""}
  client: {concurrency: many, retry: {attemptTimeout: 5, backoff: {cap: 1y}}, hedge: 99}
  service: {dedup: Magic, replicas: 1.5}
  faults:
    - {name: a, probability: 1.5, reset: {at: Sometime}}
    - {name: a, probability: 0.1, reset: {}}
    - {name: "b/c", probability: x, reset: {at: Connect}, payments: {from: 5}}
"#;
        expect_test::expect![[r#"
            apiVersion: "v1" is not allowed; use "paylab.dev/v1alpha1"
            metadata.name: "Never_" is not a name; begin with a lower-case letter and use lower-case letters, digits and inner dashes
            spec.claim: "Twice" is not allowed; use "AtMostOnce", "AtLeastOnce", "ExactlyOnce", "ExactTotal"
            spec.client.concurrency: "many" is not a whole number
            spec.client.hedge: 99 is too large; at most 8 is allowed
            spec.client.retry.attemptTimeout: 5 is not a text (put it in quotes)
            spec.client.retry.backoff.cap: "1y" is not a duration; use a whole number of ms, s, m or h, such as 250ms or 5s
            spec.colour: is not a known field; known are activeDeadline, claim, client, expect, faults, minExposures, payments, retain, seed, service, target
            spec.faults[0].probability: 1.5 is too large; at most 1 is allowed
            spec.faults[0].reset.at: "Sometime" is not allowed; use "Connect", "BeforeRequest", "MidRequest", "AfterRequest", "BeforeResponse", "MidResponse", "AfterResponse"
            spec.faults[1].reset.at: is missing
            spec.faults[2].name: "b/c" is not a name; use lower-case letters, digits and inner dashes
            spec.faults[2].payments.to: is missing
            spec.faults[2].probability: "x" is not a number
            spec.payments.amount: 1.5 is not a text (put it in quotes)
            spec.payments.count: 0 is too small; at least 1 is allowed
            spec.payments.currency: "euro" is not a currency; use three capital letters, such as EUR
            spec.payments.from: "" is not an account or key; use letters, digits, dots, dashes and underscores
            spec.seed: -1 is too small; at least 0 is allowed
            and 2 more"#]].assert_eq(&faults_of(text));
    }

    #[test]
    fn broken_rules_that_the_schema_cannot_express_are_reported_too() {
        let text = format!(
            "{GOOD}  payments: {{amount: \"0\"}}
  service: {{keyTtl: 0s, replicas: 2}}
  client: {{retry: {{attemptTimeout: 0s}}}}
  faults:
    - {{name: a, probability: 1, reset: {{at: Connect}}}}
    - {{name: a, probability: 0.1, reset: {{at: Connect}}, payments: {{from: 5, to: 5}}}}
"
        );
        expect_test::expect![[r#"
            spec.client.retry.attemptTimeout: 0s leaves no time for an answer; use at least 1ms
            spec.client.retry.maxAttempts: 0 (until acknowledged) never ends, because a fault of probability 1 keeps every answer from the client; bound the attempts or lower its probability
            spec.faults: each fault needs a name of its own
            spec.faults[1].payments: is empty; `from` must be below `to`
            spec.payments.amount: 0 must be more than zero; use a positive amount such as "1.00"
            spec.service.keyTtl: 0s forgets every key at once; use at least 1ms
            spec.service.keyTtl: is known to dedup: Replay only; remove it or use Replay
            spec.service.replicas: several replicas need one database; set service.database.secretKeyRef to a Secret with the URL of a PostgreSQL, or use 1"#]].assert_eq(&faults_of(&text));
        expect_test::expect!["spec.client.idempotencyKey: None sends no key, and dedup Replay tells repeats by nothing else; use PerPayment"]
            .assert_eq(&faults_of(&format!("{GOOD}  service: {{dedup: Replay}}\n")));
    }

    #[test]
    fn absurd_sizes_are_refused_and_never_computed() {
        let faults: Vec<_> =
            (0..20).map(|n| format!("{{name: f{n}, probability: 0.1, reset: {{at: Connect}}}}")).collect();
        let text = format!(
            "{GOOD}  payments: {{count: 99999999999999999999, amount: \"99999999999\"}}\n  faults: [{}]\n",
            faults.join(", ")
        );
        expect_test::expect![[r#"
            spec.faults: has too many items; at most 16 are allowed
            spec.payments.amount: "99999999999" is not an amount; use digits with at most two decimals, such as "1.00"
            spec.payments.count: 1e+20 is too large; at most 100000000 is allowed"#]]
        .assert_eq(&faults_of(&text));
    }
}
