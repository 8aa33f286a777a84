//! Replaces scheduler and kubelet on a node without them: it writes that pods are ready, and that load pods ended with the report
//! of a real run of the same experiment on this machine.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt as _,
    api::{Patch, PatchParams},
    runtime::{WatchStreamExt as _, watcher},
};
use paylab::{commands::run::measure, lab::Database};
use paylab_apis::{Conduct, Shape};
use paylab_core::{
    judge::{
        doubt::{Doubt, DoubtNote},
        report::Report,
    },
    outcome::Setting,
    plan::Plan,
};
use paylab_resource::file;
use serde_json::{Value, json};

use super::crash::{LESSON, SHOP};
use crate::support::run_here;

/// Has the report of each experiment's load, by what its name begins with; only the run id is replaced.
pub(crate) struct FakeKubelet {
    reports: BTreeMap<&'static str, Report>,
}

/// The name of experiments whose load is ended by the deadline.
pub(crate) const STOPPED: &str = "stopped";

/// The name of experiments whose pods never start.
pub(crate) const UNREADY: &str = "unready";

/// What such a load reports: nothing was predicted, because it did not come to its end.
fn stopped() -> Report {
    let mut report = Report::default();
    report.doubt(Doubt::LoadStopped, DoubtNote { count: 1, ..DoubtNote::default() });
    report
}

impl FakeKubelet {
    /// Runs the experiments on this machine and keeps their reports. Each must have one load pod, because one report is kept of each.
    pub(crate) fn new() -> Self {
        let plan: Plan = file::parse(LESSON.text, 0).expect("the experiment is valid").plan;
        let lesson = measure(&plan, &Database::Temporary, Setting::default()).expect("the lab runs on this machine");
        let shop = run_here(SHOP.text, Shape::Stripe, Conduct::Broken);
        Self { reports: [(LESSON.name, lesson.report), (SHOP.name, shop.report), (STOPPED, stopped())].into() }
    }

    /// Writes the status of all pods of labs, in all namespaces; never returns.
    pub(crate) async fn run(self, client: Client) {
        let lab_pods = watcher::Config::default().labels("app.kubernetes.io/managed-by=paylab");
        let pods = watcher(Api::<Pod>::all(client.clone()), lab_pods).default_backoff().applied_objects();
        pods.for_each_concurrent(None, async |pod| {
            // The watcher starts again after an error.
            let Ok(pod) = pod else { return };
            if let Some(status) = self.next_status(&pod) {
                let namespace = pod.namespace().unwrap_or_default();
                let api = Api::<Pod>::namespaced(client.clone(), &namespace);
                // The pod may have been deleted in the meantime.
                let _ = api.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(status)).await;
            }
        })
        .await;
    }

    /// The next status of a pod: every pod becomes ready at once, and a load pod then ends.
    fn next_status(&self, pod: &Pod) -> Option<Value> {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
        let labels = pod.labels();
        if labels.get("paylab.dev/experiment").is_some_and(|experiment| experiment.starts_with(UNREADY)) {
            return None;
        }
        let is_load = labels.get("app.kubernetes.io/component").is_some_and(|component| component == "load-job");
        match (pod.metadata.deletion_timestamp.is_some(), phase) {
            (false, "Pending") => Some(running(pod)),
            (false, "Running") if is_load => {
                let experiment = labels.get("paylab.dev/experiment")?;
                let mut report = self.reports.iter().find(|(name, _)| experiment.starts_with(**name))?.1.clone();
                report.run_id = labels.get("paylab.dev/run-id")?.clone();
                Some(ended(pod, &serde_json::to_string(&report).ok()?))
            }
            _ => None,
        }
    }
}

fn running(pod: &Pod) -> Value {
    let state = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
    // Nothing connects to it.
    let address = "10.244.0.7";
    json!({"status": {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "ContainersReady", "status": "True"}],
        "containerStatuses": [container(pod, true, &state)],
    }})
}

fn ended(pod: &Pod, message: &str) -> Value {
    let state = json!({"terminated": {"exitCode": 0, "reason": "Completed", "message": message,
        "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:01Z"}});
    json!({"status": {
        "phase": "Succeeded",
        "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [container(pod, false, &state)],
    }})
}

fn container(pod: &Pod, ready: bool, state: &Value) -> Value {
    let name = pod.spec.as_ref().and_then(|spec| spec.containers.first()).map(|container| container.name.clone());
    json!({"name": name, "image": "paylab", "imageID": "", "ready": ready, "restartCount": 0, "state": state})
}
