//! Experiments in a namespace: what they say, and what becomes of them.

use std::time::Duration;

use anyhow::{bail, ensure};
use paylab_e2e::eventually;
use serde_json::Value;

use super::{Namespace, root};

/// An experiment of a few seconds has come to its end by then, on a machine with other things to do.
pub(crate) const END_WITHIN: Duration = Duration::from_secs(120);
/// What is deleted is gone by then.
const GONE_WITHIN: Duration = Duration::from_secs(60);
/// The kinds of which a lab is made.
const KINDS: &str = "configmaps,networkpolicies,services,deployments,replicasets,jobs,pods";
/// The label of everything that belongs to a lab.
pub(crate) const OURS: &str = "--selector=app.kubernetes.io/managed-by=paylab";

/// A lesson's file.
pub(crate) fn example(name: &str) -> String {
    std::fs::read_to_string(root().join(format!("examples/{name}.yaml"))).unwrap()
}

/// The lesson's claim, seed and faults, with more fields of the spec, indented by two.
pub(crate) fn experiment(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: paylab.dev/v1alpha1
kind: ChaosExperiment
metadata: {{name: {name}}}
spec:
  claim: ExactlyOnce
  seed: 42
  faults:
    - {{name: request-lost, probability: 0.3, reset: {{at: BeforeRequest}}}}
    - {{name: response-lost, probability: 0.3, reset: {{at: BeforeResponse}}}}
{spec}"
    )
}

/// An experiment whose claim holds and whose load takes half a minute, so that something can happen to it.
pub(crate) fn slow(name: &str, more: &str) -> String {
    let safe =
        "  client: {rate: 20, idempotencyKey: PerPayment}\n  service: {dedup: UniqueKey}\n  payments: {count: 600}\n";
    experiment(name, &format!("{safe}{more}"))
}

/// The status of a condition.
pub(crate) fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a str> {
    status["conditions"].as_array()?.iter().find(|one| one["type"] == kind)?["status"].as_str()
}

/// The message of a status.
pub(crate) fn message(status: &Value) -> &str {
    status["message"].as_str().unwrap_or_default()
}

impl Namespace<'_> {
    /// The status of an experiment, as it is now.
    pub(crate) fn status(&self, name: &str) -> Value {
        let text = self.kubectl(&["get", "payx", name, "--output=json"]);
        serde_json::from_str::<Value>(&text).unwrap()["status"].take()
    }

    /// The status of an experiment once it is as it should be.
    pub(crate) fn status_when(&self, name: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let seen = eventually(name, END_WITHIN, || {
            let status = self.status(name);
            ensure!(fits(&status), "{status:#}");
            Ok(status)
        });
        seen.unwrap_or_else(|error| panic!("{error:#}\n{}", self.kubectl(&["get", "pods,events"])))
    }

    /// The status of an experiment at its end.
    pub(crate) fn ended(&self, name: &str) -> Value {
        self.status_when(name, |status| status["completionTime"].is_string())
    }

    /// The status of an experiment once its load has begun and shows progress.
    pub(crate) fn under_way(&self, name: &str) -> Value {
        self.status_when(name, |status| status["progress"]["acknowledged"].as_i64().is_some_and(|done| done > 0))
    }

    /// What is left of all labs.
    pub(crate) fn left(&self) -> String {
        self.kubectl(&["get", KINDS, OURS, "--output=name"])
    }

    /// Waits until what is left of all labs is as it should be.
    pub(crate) fn left_when(&self, fits: impl Fn(&str) -> bool) {
        let seen = eventually("what is left of the labs", GONE_WITHIN, || match self.left() {
            left if fits(&left) => Ok(()),
            left => bail!("{left}"),
        });
        seen.unwrap();
    }

    /// Waits until no lab has left anything.
    pub(crate) fn assert_bare(&self) {
        self.left_when(str::is_empty);
    }
}
