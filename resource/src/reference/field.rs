//! The fields of spec and status, found in the definition.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Value, json};

use crate::{
    definition::schema,
    reference::{example, reasons, words},
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

/// Every field of the spec and of the status, in the order of paths.
#[must_use]
pub fn fields() -> Vec<Field> {
    let schema = schema();
    let mut walk = Walk::default();
    walk.visit(
        "spec",
        Schemas { defined: &schema["properties"]["spec"], written: &written::<ChaosExperimentSpec>() },
        true,
    );
    let status = written::<ChaosExperimentStatus>();
    walk.visit("status", Schemas { defined: &schema["properties"]["status"], written: &status }, false);
    let Walk { mut fields, rules } = walk;
    for (path, message) in rules {
        if let Some(field) = fields.iter_mut().find(|field| field.path == path) {
            field.rules.push(message);
        }
    }
    fields
}

/// The schema of a type as schemars makes it.
fn written<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::default().with(|settings| settings.inline_subschemas = true);
    json!(settings.into_generator().into_root_schema_for::<T>())
}

/// The two schemas of a field.
#[derive(Debug, Clone, Copy)]
struct Schemas<'a> {
    /// That of the definition, which is in force.
    defined: &'a Value,
    /// That of its type. The definition has lost the meanings of the values of enums, and of fields that may be absent.
    written: &'a Value,
}

#[derive(Default)]
struct Walk {
    fields: Vec<Field>,
    /// The messages of rules, each with the path of the field that it is about.
    rules: Vec<(String, String)>,
}

impl Walk {
    fn visit(&mut self, path: &str, schemas: Schemas<'_>, is_required: bool) {
        let Schemas { defined, written } = schemas;
        let (inner_path, inner) = innermost(path, schemas);
        let is_object = inner.defined["properties"].is_object();
        let meaning = [&written["description"], &defined["description"]].map(words::plain).into_iter();
        self.fields.push(Field {
            path: path.to_owned(),
            meaning: reasons::condition_field(path)
                .map(str::to_owned)
                .or_else(|| meaning.clone().find(|text| !text.is_empty()))
                .unwrap_or_default(),
            values: values(written),
            example: example::at(path).filter(|_| !is_object).map(|value| words::yaml(&value)),
            is_object,
            facts: if path.starts_with("spec") { words::facts(defined, is_required) } else { words::form(defined) },
            rules: Vec::new(),
        });
        self.note_rules(path, defined);
        if inner_path != path {
            self.note_rules(&inner_path, inner.defined);
        }
        let required: Vec<_> = inner.defined["required"].as_array().into_iter().flatten().collect();
        for (name, defined) in inner.defined["properties"].as_object().into_iter().flatten() {
            let is_required = required.iter().any(|required| *required == name);
            let schemas = Schemas { defined, written: &inner.written["properties"][name.as_str()] };
            self.visit(&format!("{inner_path}.{name}"), schemas, is_required);
        }
    }

    /// Rules that name a field are noted with it. Items of lists have no entry of their own, so rules about them belong to the list.
    fn note_rules(&mut self, path: &str, schema: &Value) {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            let about = format!("{path}{}", words::plain(&rule["fieldPath"]));
            self.rules.push((about.trim_end_matches("[]").to_owned(), words::plain(&rule["message"])));
        }
    }
}

/// The values of an enum, each with its meaning.
fn values(written: &Value) -> Vec<(String, String)> {
    let variants = present(written)["oneOf"].as_array().into_iter().flatten();
    variants.map(|one| (words::plain(&one["const"]), words::plain(&one["description"]))).collect()
}

/// The schema of a field that may be absent, if it is there.
fn present(written: &Value) -> &Value {
    written["anyOf"].get(0).unwrap_or(written)
}

/// The schemas of the items of a list or a map, with their path; any others are their own.
fn innermost<'a>(path: &str, Schemas { defined, written }: Schemas<'a>) -> (String, Schemas<'a>) {
    let written = present(written);
    match (&defined["items"], &defined["additionalProperties"]) {
        (items @ Value::Object(_), _) => {
            (format!("{path}[]"), Schemas { defined: items, written: present(&written["items"]) })
        }
        (_, values @ Value::Object(_)) => {
            (format!("{path}.NAME"), Schemas { defined: values, written: present(&written["additionalProperties"]) })
        }
        _ => (path.to_owned(), Schemas { defined, written }),
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
