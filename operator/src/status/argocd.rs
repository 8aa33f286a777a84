//! What the health check of the chart, which Argo CD runs, makes of every status that the operator writes. It is run by a real Lua; Argo CD's
//! own is of version 5.1.

use std::process::Command;

use k8s_openapi::jiff::Timestamp;
use paylab_core::{claim::Verdict, field_error::FieldError, judge::report::Report};
use paylab_resource::status::{ChaosExperimentStatus, ProgressStatus};
use serde_json::{Value, json};

use super::StatusBuilder;
use crate::{
    decide::{PodProblem, Tolerance},
    fixtures::{at, planned},
};

const CHECK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/paylab/files/argocd-health.lua");
/// Where this is set, a missing Lua is a failure.
const REQUIRE_LUA: &str = "PAYLAB_TEST_REQUIRE_LUA";

/// The Lua of this machine.
fn lua() -> Option<&'static str> {
    let found = ["lua5.1", "lua5.4", "lua"].into_iter().find(|name| Command::new(name).arg("-v").output().is_ok());
    assert!(found.is_some() || std::env::var_os(REQUIRE_LUA).is_none(), "no Lua; install lua5.1");
    found
}

/// A JSON value as an expression of Lua.
fn literal(value: &Value) -> String {
    let text = |text: &str| {
        let bytes: String = text.bytes().map(|byte| format!("\\{byte:03}")).collect();
        format!("\"{bytes}\"")
    };
    let list = |items: Vec<String>| format!("{{{}}}", items.join(","));
    match value {
        Value::Null => "nil".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(string) => text(string),
        Value::Array(items) => list(items.iter().map(literal).collect()),
        Value::Object(fields) => {
            list(fields.iter().map(|(name, value)| format!("[{}]={}", text(name), literal(value))).collect())
        }
    }
}

/// The health of a resource of generation 1 with this status, and its message.
fn health(lua: &str, status: Option<&ChaosExperimentStatus>) -> String {
    let mut resource = json!({"metadata": {"name": "lesson", "generation": 1}, "spec": {}});
    if let Some(status) = status {
        resource["status"] = json!(status);
    }
    let program = format!(
        "obj = {}\nlocal health = dofile(arg[1])\nio.write(health.status, ': ', health.message)",
        literal(&resource)
    );
    let file = std::env::temp_dir().join(format!("paylab-health-{}.lua", std::process::id()));
    std::fs::write(&file, program).unwrap();
    let output = Command::new(lua).arg(&file).arg(CHECK).output().unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn builder(previous: Option<&ChaosExperimentStatus>, now: Timestamp) -> StatusBuilder<'_> {
    StatusBuilder { previous, generation: Some(1), now }
}

#[test]
fn every_status_has_the_health_that_a_reader_would_give_it() {
    let Some(lua) = lua() else { return };
    let experiment = planned(&json!({}));
    let unseen = ChaosExperimentStatus { observed_generation: Some(-1), ..ChaosExperimentStatus::default() };
    let problem = PodProblem::new("ImagePullBackOff", "the image of pod x cannot be pulled", Tolerance::Short);
    let judged = |verdict: Verdict, expect: &str| {
        let mut outcome = planned(&json!({"expect": expect})).outcome(Report::default());
        outcome.verdict = verdict;
        builder(None, at(0)).judged(&outcome)
    };
    let progress = ProgressStatus { payments: 20, acknowledged: 3, attempts: 7 };
    let waiting = builder(None, at(0)).preparing(&experiment, Some(&problem));
    let older = ChaosExperimentStatus { observed_generation: Some(0), ..judged(Verdict::Upheld, "Upheld") };
    for (status, expected) in [
        (None, "Progressing: No operator"),
        (Some(unseen), "Progressing: No operator"),
        (Some(builder(None, at(0)).preparing(&experiment, None)), "Progressing: the parts are starting"),
        (Some(waiting), "Progressing: the image of pod x cannot be pulled"),
        (Some(builder(None, at(0)).loading(&experiment, None, Some(progress))), "Progressing: the load is running"),
        (Some(judged(Verdict::Upheld, "Upheld")), "Healthy: "),
        (Some(judged(Verdict::Violated, "Violated")), "Healthy: "),
        (Some(judged(Verdict::Violated, "Upheld")), "Degraded: "),
        (Some(judged(Verdict::Upheld, "Violated")), "Degraded: "),
        (Some(judged(Verdict::Inconclusive, "Upheld")), "Degraded: INCONCLUSIVE"),
        (Some(builder(None, at(0)).failed(&experiment, &problem)), "Degraded: FAILED: the image of pod x"),
        (
            Some(builder(None, at(0)).refused(&[FieldError::new("spec.faults", "is wrong")])),
            "Degraded: spec.faults: is wrong",
        ),
        (Some(older), "Progressing: No operator"),
    ] {
        let seen = health(lua, status.as_ref());
        assert!(seen.starts_with(expected), "{seen}, not {expected}");
    }
}
