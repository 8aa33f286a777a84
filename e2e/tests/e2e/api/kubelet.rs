//! Plays scheduler and kubelet where there are none: the parts get ready, and load pods leave the report that a real run of
//! the same experiment on this machine has left.

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt as _,
    api::{Patch, PatchParams},
    runtime::{WatchStreamExt as _, watcher},
};
use paylab::{lab::Database, run::measure};
use paylab_experiment::{file, plan::Plan, report::Report};
use serde_json::{Value, json};

/// What a load of the experiment leaves, but for the run's name.
pub(crate) struct Kubelet {
    report: Report,
}

impl Kubelet {
    /// Runs the experiment on this machine and keeps its report.
    pub(crate) fn of(experiment: &str) -> Self {
        let plan: Plan = file::parse(experiment, 0).expect("a good experiment").plan;
        assert_eq!(plan.client.workers, 1, "the report of one load pod is kept");
        let report = measure(&plan, &Database::Temporary).expect("the lab runs on this machine").report;
        Self { report }
    }

    /// Plays for every pod of Paylab's, in all namespaces, for as long as it is let to.
    pub(crate) async fn play(self, client: Client) {
        let parts = watcher::Config::default().labels("app.kubernetes.io/managed-by=paylab");
        let pods = watcher(Api::<Pod>::all(client.clone()), parts).default_backoff().applied_objects();
        pods.for_each_concurrent(None, async |pod| {
            // A watch that breaks is begun again.
            let Ok(pod) = pod else { return };
            if let Some(status) = self.next(&pod) {
                let namespace = pod.namespace().unwrap_or_default();
                let api = Api::<Pod>::namespaced(client.clone(), &namespace);
                // It may be gone by now.
                let _ = api.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(status)).await;
            }
        })
        .await;
    }

    /// What becomes of a pod: a part is ready at once, a load runs and then has ended.
    fn next(&self, pod: &Pod) -> Option<Value> {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
        let labels = pod.labels();
        let is_load = labels.get("app.kubernetes.io/component").is_some_and(|part| part == "load-job");
        match (pod.metadata.deletion_timestamp.is_some(), phase) {
            (false, "Pending") => Some(running(pod)),
            (false, "Running") if is_load => {
                let mut report = self.report.clone();
                report.run_id = labels.get("paylab.dev/run-id")?.clone();
                Some(ended(pod, &serde_json::to_string(&report).ok()?))
            }
            _ => None,
        }
    }
}

fn running(pod: &Pod) -> Value {
    let state = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
    json!({"status": {
        "phase": "Running",
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
