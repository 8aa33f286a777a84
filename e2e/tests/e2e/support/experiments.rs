//! Experiments in a namespace: their resources, their status, and the objects of their labs.

use std::time::Duration;

use anyhow::{bail, ensure};
use paylab_e2e::eventually;
use serde_json::Value;

use super::{installation::root, namespace::Namespace};

/// The time limit for an experiment that takes a few seconds on an idle machine.
pub(crate) const COMPLETED_WITHIN: Duration = Duration::from_secs(120);
/// The time limit for the deletion of a lab's objects.
const DELETED_WITHIN: Duration = Duration::from_secs(60);
/// The kinds of a lab's objects: the API, the path in it, and the name that kubectl gives to one.
const KINDS: [(&str, &str, &str); 7] = [
    ("api/v1", "configmaps", "configmap"),
    ("apis/networking.k8s.io/v1", "networkpolicies", "networkpolicy.networking.k8s.io"),
    ("api/v1", "services", "service"),
    ("apis/apps/v1", "deployments", "deployment.apps"),
    ("apis/apps/v1", "replicasets", "replicaset.apps"),
    ("apis/batch/v1", "jobs", "job.batch"),
    ("api/v1", "pods", "pod"),
];
/// Selects every object that belongs to a lab.
pub(crate) const LAB_OBJECTS: &str = "--selector=app.kubernetes.io/managed-by=paylab";

/// The file of a lesson. Its client waits longer for an answer, so that a busy node makes no attempts that the seed does not predict.
pub(crate) fn example(name: &str) -> String {
    let text = std::fs::read_to_string(root().join(format!("examples/{name}.yaml"))).unwrap();
    text.replace("attemptTimeout: 5s", "attemptTimeout: 30s")
}

/// An experiment with the lesson's claim, seed and faults, and further fields of the spec, indented by two spaces.
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

/// An experiment whose claim holds and whose load takes half a minute, so that a test can disturb it.
pub(crate) fn slow_experiment(name: &str, spec: &str) -> String {
    let upheld =
        "  client: {rate: 20, idempotencyKey: PerPayment}\n  service: {dedup: UniqueKey}\n  payments: {count: 600}\n";
    experiment(name, &format!("{upheld}{spec}"))
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
    /// The present status of an experiment.
    pub(crate) fn status(&self, name: &str) -> Value {
        self.try_status(name).unwrap()
    }

    /// As [`Self::status`], but returns the error.
    fn try_status(&self, name: &str) -> anyhow::Result<Value> {
        Ok(self.read("apis/paylab.dev/v1alpha1", &format!("chaosexperiments/{name}"))?["status"].take())
    }

    /// Waits until the status of an experiment fulfils a condition, and returns it.
    pub(crate) fn status_when(&self, name: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let result = eventually(name, COMPLETED_WITHIN, || {
            let status = self.try_status(name)?;
            ensure!(condition(&status), "{status:#}");
            Ok(status)
        });
        result.unwrap_or_else(|error| panic!("{error:#}\n{}", self.kubectl(&["get", "pods,events"])))
    }

    /// Waits until an experiment has completed or failed, and returns its status.
    pub(crate) fn final_status(&self, name: &str) -> Value {
        self.status_when(name, |status| status["completionTime"].is_string())
    }

    /// Waits until the load of an experiment has acknowledged payments, and returns the experiment's status.
    pub(crate) fn status_under_load(&self, name: &str) -> Value {
        self.status_when(name, |status| status["progress"]["acknowledged"].as_i64().is_some_and(|done| done > 0))
    }

    /// The names of the labs' objects, one in each line, as kubectl prints them.
    pub(crate) fn lab_objects(&self) -> String {
        let mut names = String::new();
        for (api, kind, shown) in KINDS {
            let selected = format!("{kind}?labelSelector=app.kubernetes.io%2Fmanaged-by%3Dpaylab");
            let list = self.read(api, &selected).unwrap();
            for object in list["items"].as_array().unwrap() {
                names += &format!("{shown}/{}\n", object["metadata"]["name"].as_str().unwrap());
            }
        }
        names
    }

    /// Waits until the names of the labs' objects fulfil a condition.
    pub(crate) fn wait_for_lab_objects(&self, condition: impl Fn(&str) -> bool) {
        let result = eventually("objects of the labs", DELETED_WITHIN, || match self.lab_objects() {
            names if condition(&names) => Ok(()),
            names => bail!("{names}"),
        });
        result.unwrap();
    }

    /// Waits until no object of a lab exists.
    pub(crate) fn wait_until_no_lab_objects(&self) {
        self.wait_for_lab_objects(str::is_empty);
    }
}
