//! What the tests of this crate share: the lesson's plans.

use serde_json::{Value, json};

use crate::{plan::Plan, spec::ChaosExperimentSpec};

/// The lesson, seed 42, with parts of its spec replaced (merged in depth).
pub(crate) fn lesson(changes: &Value) -> Plan {
    let mut spec = json!({
        "claim": "ExactlyOnce",
        "seed": 42,
        "faults": [
            {"name": "request-lost", "probability": 0.3, "reset": {"at": "BeforeRequest"}},
            {"name": "response-lost", "probability": 0.3, "reset": {"at": "BeforeResponse"}},
        ],
    });
    merge(&mut spec, changes);
    let spec: ChaosExperimentSpec = serde_json::from_value(spec).unwrap();
    Plan::parse(&spec, 0).unwrap()
}

fn merge(into: &mut Value, changes: &Value) {
    match (into, changes) {
        (Value::Object(into), Value::Object(changes)) => {
            for (field, change) in changes {
                merge(into.entry(field.clone()).or_insert(Value::Null), change);
            }
        }
        (into, change) => *into = change.clone(),
    }
}
