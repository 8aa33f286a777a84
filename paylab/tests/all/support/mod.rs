//! What the tests of the whole lab share: plans from JSON, and runs of them.

pub(crate) mod apis;
pub(crate) mod binary;
pub(crate) mod foreign;
pub(crate) mod liar;
pub(crate) mod marks;
pub(crate) mod proxied;
pub(crate) mod scripted;
pub(crate) mod tls;

use paylab::{commands::run::measure, lab::Database};
use paylab_core::{
    field_error::FieldError,
    outcome::{Outcome, Setting},
    plan::Plan,
};
use paylab_resource::spec::ChaosExperimentSpec;
use serde_json::{Value, json};

/// The plan of a spec; what it leaves out is the lesson's, but for the faults.
pub(crate) fn plan(spec: Value) -> Plan {
    try_plan(spec).unwrap()
}

/// The same, or what is wrong with it.
pub(crate) fn try_plan(mut spec: Value) -> Result<Plan, Vec<FieldError>> {
    for (field, value) in [("claim", json!("ExactlyOnce")), ("seed", json!(42))] {
        spec.as_object_mut().unwrap().entry(field).or_insert(value);
    }
    let spec: ChaosExperimentSpec = serde_json::from_value(spec).unwrap();
    paylab_resource::plan::plan(&spec, 0)
}

/// The lesson's two faults.
pub(crate) fn lesson_faults() -> Vec<Value> {
    vec![fault("request-lost", 0.3, "BeforeRequest"), fault("response-lost", 0.3, "BeforeResponse")]
}

pub(crate) fn fault(name: &str, probability: f64, at: &str) -> Value {
    json!({"name": name, "probability": probability, "reset": {"at": at}})
}

/// Runs a plan for real, on SQLite.
pub(crate) fn run(plan: &Plan) -> Outcome {
    measure(plan, &Database::Temporary, Setting::default()).unwrap()
}
