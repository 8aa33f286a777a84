//! The fields of spec and status, found in the definition.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::{
    definition::definition,
    reference::{example, words},
    spec::ChaosExperimentSpec,
    status::ChaosExperimentStatus,
};

/// One field of the resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its path, such as `spec.client.retry.maxAttempts`.
    pub path: String,
    /// What it means; empty if its type says nothing.
    pub meaning: String,
    /// The values that it can have, each with its meaning, if they are few.
    pub values: Vec<(String, String)>,
    /// A value from the example; `None` for objects, whose fields have examples.
    pub example: Option<String>,
    /// Whether it has fields of its own.
    pub is_object: bool,
    /// Its type, what is allowed, and its default.
    facts: Vec<String>,
    /// The messages of the rules about it.
    rules: Vec<String>,
}

/// Values of an enum and their meanings, by the list of values.
type Meanings = BTreeMap<Vec<String>, Vec<String>>;

/// Every field of the spec and of the status, in the order of paths.
#[must_use]
pub fn fields() -> Vec<Field> {
    let schema = json!(definition())["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    let mut walk = Walk { meanings: meanings(), fields: Vec::new(), rules: Vec::new() };
    for part in ["spec", "status"] {
        walk.visit(part, &schema["properties"][part], part == "spec");
    }
    let Walk { meanings: _, mut fields, rules } = walk;
    for (path, message) in rules {
        if let Some(field) = fields.iter_mut().find(|field| field.path == path) {
            field.rules.push(message);
        }
    }
    fields
}

/// The meanings of enum values. They are lost on the way to a definition, so they come from the schemas of the types.
fn meanings() -> Meanings {
    let mut meanings = Meanings::new();
    let generator = || SchemaSettings::default().into_generator();
    let spec = json!(generator().into_root_schema_for::<ChaosExperimentSpec>());
    let status = json!(generator().into_root_schema_for::<ChaosExperimentStatus>());
    for definition in [spec, status].iter().flat_map(|schema| schema["$defs"].as_object().into_iter().flatten()) {
        let variants = definition.1["oneOf"].as_array().into_iter().flatten();
        let (values, told) =
            variants.map(|one| (words::plain(&one["const"]), words::plain(&one["description"]))).unzip();
        meanings.insert(values, told);
    }
    meanings
}

struct Walk {
    meanings: Meanings,
    fields: Vec<Field>,
    /// The messages of rules, each with the path of the field that it is about.
    rules: Vec<(String, String)>,
}

impl Walk {
    fn visit(&mut self, path: &str, schema: &Value, is_required: bool) {
        let (inner_path, inner) = innermost(path, schema);
        let properties = inner["properties"].as_object();
        let example = example::at(path).filter(|_| properties.is_none()).map(|value| words::yaml(&value));
        self.fields.push(Field {
            path: path.to_owned(),
            meaning: words::plain(&schema["description"]),
            values: self.values(schema),
            example,
            is_object: properties.is_some(),
            facts: words::facts(schema, is_required),
            rules: Vec::new(),
        });
        for rules in [(path, schema), (&inner_path, inner)].iter().take(if inner_path == path { 1 } else { 2 }) {
            self.note_rules(rules.0, rules.1);
        }
        self.visit_all(&inner_path, inner, properties);
    }

    fn visit_all(&mut self, path: &str, schema: &Value, properties: Option<&Map<String, Value>>) {
        let required: Vec<_> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, property) in properties.into_iter().flatten() {
            self.visit(&format!("{path}.{name}"), property, required.contains(&name.as_str()));
        }
    }

    /// Rules that name a field are noted with it. Items of lists have no entry of their own, so rules about them belong to the list.
    fn note_rules(&mut self, path: &str, schema: &Value) {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            let about = format!("{path}{}", words::plain(&rule["fieldPath"]));
            self.rules.push((about.trim_end_matches("[]").to_owned(), words::plain(&rule["message"])));
        }
    }

    fn values(&self, schema: &Value) -> Vec<(String, String)> {
        let values: Vec<_> = schema["enum"].as_array().into_iter().flatten().map(words::plain).collect();
        let told = self.meanings.get(&values).cloned().unwrap_or_default();
        let told = told.into_iter().chain(std::iter::repeat(String::new()));
        values.into_iter().zip(told).collect()
    }
}

/// The schema of the items of a list or a map, with its path; any other schema is its own.
fn innermost<'a>(path: &str, schema: &'a Value) -> (String, &'a Value) {
    match (&schema["items"], &schema["additionalProperties"]) {
        (items @ Value::Object(_), _) => (format!("{path}[]"), items),
        (_, values @ Value::Object(_)) => (format!("{path}.NAME"), values),
        _ => (path.to_owned(), schema),
    }
}

impl Field {
    /// The field's part of the reference.
    pub(super) fn entry(&self) -> String {
        let Self { path, meaning, values, example, is_object: _, facts, rules } = self;
        let example = example.as_ref().map(|example| format!("example `{example}`"));
        let facts = facts.iter().cloned().chain(example).collect::<Vec<_>>().join("; ");
        let values = values.iter().map(|(value, meaning)| format!("- `{value}`: {meaning}\n"));
        let rules = rules.iter().map(|rule| format!("- Rule: {rule}.\n"));
        let list: String = values.chain(rules).collect();
        let gap = if list.is_empty() { "" } else { "\n" };
        format!("### `{path}`\n\n{meaning}\n\n{facts}.\n{gap}{list}")
    }
}
