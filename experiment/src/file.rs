//! An experiment's file, checked by the same schema as the API server's, so that a laptop refuses what a cluster refuses.
//! Everything that is wrong is told at once, each with the path of its field and what is allowed.

use jsonschema::{
    ValidationError,
    error::{TypeKind, ValidationErrorKind},
    paths::LocationSegment,
};
use serde_json::{Value, json};

use crate::{
    definition::definition,
    plan::{Plan, Refusal},
    spec::{ChaosExperiment, NAME_LEN_MAX, NAME_PATTERN},
};

/// Longer files are refused: more than any resource of a cluster can hold.
pub const FILE_LEN_MAX: usize = 1024 * 1024;
/// A value is shown in a refusal up to so many characters.
const VALUE_SHOWN: usize = 40;

/// An experiment that can be run.
#[derive(Debug, Clone)]
pub struct Experiment {
    /// The resource as written.
    pub resource: ChaosExperiment,
    /// What it comes to.
    pub plan: Plan,
}

/// Reads an experiment. `drawn_seed` is used when it names none.
///
/// # Errors
/// Everything that is wrong, one refusal each, in the order of fields.
pub fn parse(text: &str, drawn_seed: u64) -> Result<Experiment, Vec<Refusal>> {
    if text.len() > FILE_LEN_MAX {
        return Err(vec![Refusal::new("", format!("the file has more than {FILE_LEN_MAX} bytes"))]);
    }
    let value: Value = serde_saphyr::from_str(text).map_err(|error| vec![not_yaml(&error.to_string())])?;
    let mut refusals = check(&value);
    let typed: Result<ChaosExperiment, _> = serde_json::from_value(value);
    match (typed, refusals.is_empty()) {
        (Ok(resource), clean) => match Plan::parse(&resource.spec, drawn_seed) {
            Ok(plan) if clean => return Ok(Experiment { resource, plan }),
            Ok(_) => {}
            Err(more) => {
                let news = more.into_iter().filter(|new| !refusals.iter().any(|known| known.field == new.field));
                refusals.extend(news.collect::<Vec<_>>());
            }
        },
        (Err(error), true) => refusals.push(Refusal::new("", error.to_string())),
        (Err(_), false) => {}
    }
    refusals.sort();
    refusals.dedup();
    Err(refusals)
}

fn not_yaml(error: &str) -> Refusal {
    let line = error.lines().next().unwrap_or_default();
    Refusal::new("", format!("is not the YAML of one resource: {line}"))
}

/// Everything the schema has to say.
fn check(value: &Value) -> Vec<Refusal> {
    let schema = schema();
    match jsonschema::validator_for(&schema) {
        Ok(validator) => validator.iter_errors(value).flat_map(|error| refusals_of(&error, &schema)).collect(),
        Err(error) => vec![Refusal::new("", format!("the schema itself is broken: {error}"))],
    }
}

/// The resource definition's schema, closed against unknown fields as `kubectl` is.
fn schema() -> Value {
    let definition = json!(definition());
    let mut spec = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone();
    close(&mut spec);
    let name = json!({"type": "string", "maxLength": NAME_LEN_MAX, "pattern": NAME_PATTERN});
    json!({
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": false,
        "properties": {
            "apiVersion": {"enum": ["paylab.dev/v1alpha1"]},
            "kind": {"enum": ["ChaosExperiment"]},
            "metadata": {"type": "object", "required": ["name"], "properties": {"name": name}},
            "spec": spec,
            "status": {},
        },
    })
}

/// The API server's dialect in the terms of JSON Schema.
fn close(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    if fields.contains_key("properties") {
        fields.insert("additionalProperties".to_owned(), json!(false));
    }
    if fields.remove("nullable") == Some(json!(true)) {
        let kind = fields.get("type").cloned().unwrap_or_default();
        fields.insert("type".to_owned(), json!([kind, "null"]));
    }
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        properties.values_mut().for_each(close);
    }
    if let Some(items) = fields.get_mut("items") {
        close(items);
    }
}

fn refusals_of(error: &ValidationError<'_>, schema: &Value) -> Vec<Refusal> {
    let path = path_of(error);
    let value = shown(error.instance());
    let one = |fault: String| vec![Refusal::new(path.clone(), fault)];
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let fault = format!("is not a known field; known are {}", known_fields(error, schema));
            unexpected.iter().map(|field| Refusal::new(join(&path, field), fault.clone())).collect()
        }
        ValidationErrorKind::Required { property } => {
            let field = property.as_str().unwrap_or_default();
            vec![Refusal::new(join(&path, field), "is missing")]
        }
        ValidationErrorKind::Enum { options } => {
            let allowed: Vec<_> = options.as_array().into_iter().flatten().map(shown).collect();
            one(format!("{value} is not allowed; use {}", allowed.join(", ")))
        }
        ValidationErrorKind::Minimum { limit } => {
            one(format!("{value} is too small; at least {} is allowed", shown(limit)))
        }
        ValidationErrorKind::Maximum { limit } => {
            one(format!("{value} is too large; at most {} is allowed", shown(limit)))
        }
        ValidationErrorKind::MinLength { limit } => one(format!("{value} is too short; at least {limit} characters")),
        ValidationErrorKind::MaxLength { limit } => one(format!("{value} is too long; at most {limit} characters")),
        ValidationErrorKind::MinItems { limit } => one(format!("has too few items; at least {limit}")),
        ValidationErrorKind::MaxItems { limit } => one(format!("has too many items; at most {limit} are allowed")),
        ValidationErrorKind::Pattern { pattern } => one(format!("{value} {}", form(pattern))),
        ValidationErrorKind::Type { kind } => one(format!("{value} is not {}", kind_of(kind))),
        // The schema uses no other keyword; should it one day, the library's own words are better than none.
        _ => one(error.to_string()),
    }
}

/// The fields that the object at the error's place may have.
fn known_fields(error: &ValidationError<'_>, schema: &Value) -> String {
    let place = error.instance_path().into_iter().fold(schema, |schema, segment| match segment {
        LocationSegment::Property(field) => &schema["properties"][field.as_ref()],
        LocationSegment::Index(_) => &schema["items"],
    });
    place["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(field, _)| field.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

/// What a text must look like, for each pattern of the schema.
fn form(pattern: &str) -> String {
    match pattern {
        crate::span::PATTERN => {
            "is not a length of time; use a whole number of ms, s, m or h, such as 250ms or 5s".to_owned()
        }
        r"^[0-9]{1,10}(\.[0-9]{1,2})?$" => {
            "is not an amount; use digits with at most two decimals, such as \"1.00\"".to_owned()
        }
        NAME_PATTERN => {
            "is not a name; begin with a lower-case letter and use lower-case letters, digits and inner dashes"
                .to_owned()
        }
        "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$" => {
            "is not the name of a Secret; use lower-case letters, digits, dots and inner dashes".to_owned()
        }
        "^[A-Z]{3}$" => "is not a currency; use three capital letters, such as EUR".to_owned(),
        "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$" => {
            "is not a name; use lower-case letters, digits and inner dashes".to_owned()
        }
        "^[A-Za-z0-9._-]+$" => "is not an account or key; use letters, digits, dots, dashes and underscores".to_owned(),
        other => format!("does not match {other}"),
    }
}

fn kind_of(kind: &TypeKind) -> String {
    let names: Vec<String> = match kind {
        TypeKind::Single(one) => vec![one.to_string()],
        TypeKind::Multiple(several) => {
            several.iter().map(|kind| kind.to_string()).filter(|kind| kind != "null").collect()
        }
    };
    let article = |name: &String| match name.as_str() {
        "integer" => "a whole number".to_owned(),
        "array" => "a list".to_owned(),
        "object" => "an object with fields".to_owned(),
        "string" => "a text (put it in quotes)".to_owned(),
        other => format!("a {other}"),
    };
    names.iter().map(article).collect::<Vec<_>>().join(" or ")
}

fn path_of(error: &ValidationError<'_>) -> String {
    error.instance_path().into_iter().fold(String::new(), |path, segment| match segment {
        LocationSegment::Property(field) => join(&path, &field),
        LocationSegment::Index(index) => format!("{path}[{index}]"),
    })
}

fn join(path: &str, field: &str) -> String {
    let field = cut(field);
    if path.is_empty() { field } else { format!("{path}.{field}") }
}

/// A value as JSON, cut to a length that fits a line; whole numbers without a fraction.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::Null => "nothing".to_owned(),
        Value::Number(number) => {
            let text = number.to_string();
            text.strip_suffix(".0").unwrap_or(&text).to_owned()
        }
        Value::String(_) | Value::Bool(_) => cut(&value.to_string()),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(VALUE_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
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
        let refusals = parse(text, 0).unwrap_err();
        refusals.iter().map(Refusal::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_smallest_experiment_has_every_default() {
        let Experiment { resource, plan } = parse(GOOD, 7).unwrap();
        assert_eq!(resource.metadata.name.as_deref(), Some("a"));
        assert_eq!((plan.count, plan.amount.0, plan.seed(), plan.client.concurrency), (1000, 100, 7, 8));
    }

    #[test]
    fn every_fault_is_told_at_once_with_its_field_and_what_is_allowed() {
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
            spec.claim: "Twice" is not allowed; use "AtMostOnce", "AtLeastOnce", "ExactlyOnce"
            spec.client.concurrency: "many" is not a whole number
            spec.client.hedge: 99 is too large; at most 8 is allowed
            spec.client.retry.attemptTimeout: 5 is not a text (put it in quotes)
            spec.client.retry.backoff.cap: "1y" is not a length of time; use a whole number of ms, s, m or h, such as 250ms or 5s
            spec.colour: is not a known field; known are activeDeadline, claim, client, expect, faults, minExposures, payments, retain, seed, service
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
            spec.service.dedup: "Magic" is not allowed; use "None", "UniqueKey", "Replay", "CheckThenInsert", "Memory", "KeyThenApply", "ApplyThenKey", "AckThenApply"
            spec.service.replicas: 1.5 is not a whole number"#]].assert_eq(&faults_of(text));
    }

    #[test]
    fn what_the_schema_cannot_say_is_told_too() {
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
            spec.client.retry.maxAttempts: 0 (until acknowledged) never ends, because fault "a" meets every attempt; bound the attempts or lower its probability
            spec.faults[1].name: "a" is the name of an earlier fault; each fault needs a name of its own
            spec.faults[1].payments: is empty; `from` must be below `to`
            spec.payments.amount: "0" must be more than zero; use a positive amount such as "1.00"
            spec.service.keyTtl: 0s forgets every key at once; use at least 1ms
            spec.service.keyTtl: is known to dedup: Replay only; remove it or use Replay
            spec.service.replicas: 2 replicas need one database; set spec.service.database.secretKeyRef to a Secret with the URL of a PostgreSQL, or use 1"#]].assert_eq(&faults_of(&text));
        expect_test::expect!["spec.client.idempotencyKey: None sends no key, and dedup Replay tells repeats by nothing else; use PerPayment"]
            .assert_eq(&faults_of(&format!("{GOOD}  service: {{dedup: Replay}}\n")));
    }

    #[test]
    fn what_is_no_resource_is_refused_in_one_line() {
        for text in ["", "a: [", "- 1", "hello", &format!("{GOOD}---\n{GOOD}"), &"x".repeat(FILE_LEN_MAX + 1)] {
            let faults = faults_of(text);
            assert!(!faults.is_empty() && faults.len() < 600, "{faults}");
        }
        assert!(faults_of(&format!("{GOOD}  claim: AtMostOnce\n")).contains("claim"), "a field given twice");
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
