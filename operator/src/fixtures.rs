//! Fixtures for the tests of this crate: an experiment, and objects of its lab in various states.

mod api;

use std::net::{IpAddr, Ipv4Addr};

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, ReplicaSet},
        batch::v1::Job,
        core::v1::{ConfigMap, Pod},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
    jiff::Timestamp,
};
use kube::api::PartialObjectMeta;
use paylab_resource::spec::ChaosExperiment;
use serde_json::{Value, json};

pub(crate) use self::api::FakeApi;
use crate::{
    decide::lab_changes::Fingerprint,
    desired::Settings,
    names::{self, Part},
    observe::{Observed, Ownership},
    planned::PlannedExperiment,
};

/// The address of the reset proxy's pod, as that of all pods here.
pub(crate) const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 244, 0, 7));

pub(crate) const UID: &str = "7c1f2d9e-0000-4000-8000-000000000001";

/// The resource of a lesson, with these changes of its spec.
pub(crate) fn resource(changes: &Value) -> ChaosExperiment {
    let mut spec = json!({
        "claim": "ExactlyOnce",
        "seed": 42,
        "payments": {"count": 20},
        "faults": [
            {"name": "request-lost", "probability": 0.3, "reset": {"at": "BeforeRequest"}},
            {"name": "response-lost", "probability": 0.3, "reset": {"at": "BeforeResponse"}},
        ],
    });
    for (field, value) in changes.as_object().unwrap() {
        spec[field] = value.clone();
    }
    serde_json::from_value(json!({
        "apiVersion": "paylab.dev/v1alpha1",
        "kind": "ChaosExperiment",
        "metadata": {"name": "lesson", "namespace": "school", "uid": UID, "generation": 1},
        "spec": spec,
    }))
    .unwrap()
}

/// The plan of a lesson, with these changes of its spec.
pub(crate) fn planned(changes: &Value) -> PlannedExperiment {
    PlannedExperiment::of(&resource(changes)).unwrap()
}

/// The operator's settings.
pub(crate) fn settings() -> Settings {
    Settings {
        image: "registry.local/paylab:1".to_owned(),
        pull_policy: "IfNotPresent".to_owned(),
        pull_secrets: Vec::new(),
        parts: r#"{"resources": {"limits": {"memory": "512Mi"}}}"#.parse().unwrap(),
        network_policies: true,
    }
}

/// A point in time: this many seconds after the operator began to work on the experiment.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// The plan's `ConfigMap` with this owner.
pub(crate) fn plan(ownership: Ownership) -> Option<(Ownership, ConfigMap)> {
    let plan = json!({"metadata": {"name": "lesson-plan", "uid": "uid-of-the-plan"}});
    Some((ownership, serde_json::from_value(plan).unwrap()))
}

/// A Deployment with this many available pods, controlled by the plan.
pub(crate) fn deployment(part: Part, available: i32) -> Deployment {
    serde_json::from_value(json!({
        "metadata": {"name": names::part("lesson", part), "uid": format!("uid-of-{}", part.name()), "generation": 1,
            "ownerReferences": controlled_by("ConfigMap", "uid-of-the-plan")},
        "status": {"observedGeneration": 1, "availableReplicas": available},
    }))
    .unwrap()
}

/// The ReplicaSet of a part's Deployment.
pub(crate) fn replica_set(part: Part) -> PartialObjectMeta<ReplicaSet> {
    serde_json::from_value(json!({
        "metadata": {"name": format!("{}-set", names::part("lesson", part)), "uid": format!("uid-of-{}-set", part.name()),
            "generation": 1, "ownerReferences": controlled_by("Deployment", &format!("uid-of-{}", part.name()))},
    }))
    .unwrap()
}

/// A pod of a part with this status, controlled by the object of this run that creates such pods. A load pod runs the worker that
/// the digit at the end of its name says, or worker 0.
pub(crate) fn pod(part: Part, name: &str, mut status: Value) -> Pod {
    if let Some(container) = status.pointer_mut("/containerStatuses/0/name") {
        *container = json!(part.name());
    }
    let worker = name.chars().last().filter(char::is_ascii_digit).unwrap_or('0').to_string();
    let mut labels = names::part_labels("lesson", UID, part);
    labels.insert(names::WORKER_LABEL.to_owned(), worker);
    let owner = match part {
        Part::LoadJob => controlled_by("Job", "uid-of-the-job"),
        Part::PaymentService | Part::Target | Part::ResetProxy => {
            controlled_by("ReplicaSet", &format!("uid-of-{}-set", part.name()))
        }
    };
    serde_json::from_value(json!({
        "metadata": {"name": name, "uid": format!("uid-of-{name}"), "labels": labels, "ownerReferences": owner},
        "status": status,
    }))
    .unwrap()
}

/// The same pod with the same labels, made by somebody else.
pub(crate) fn foreign(pod: Pod) -> Pod {
    let metadata = ObjectMeta { owner_references: None, ..pod.metadata };
    Pod { metadata, ..pod }
}

fn controlled_by(kind: &str, uid: &str) -> Value {
    json!([{"apiVersion": "v1", "kind": kind, "name": "owner", "uid": uid, "controller": true}])
}

/// The status of a pod that is ready.
pub(crate) fn ready() -> Value {
    json!({"phase": "Running", "podIP": PROXY, "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": true, "restartCount": 0}]})
}

/// The status of a pod that is ready, and whose container was started anew in this second.
pub(crate) fn restarted(second: i64) -> Value {
    let mut status = ready();
    status["containerStatuses"][0]["restartCount"] = json!(5);
    status["containerStatuses"][0]["state"] = json!({"running": {"startedAt": at(second).to_string()}});
    status["containerStatuses"][0]["lastState"] = json!({"terminated": {"exitCode": 3, "reason": "Error"}});
    status
}

/// The status of a pod whose container waits after it has ended with exit code 70.
pub(crate) fn waiting(reason: &str, message: &str) -> Value {
    json!({"phase": "Pending", "containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": false,
        "restartCount": 3, "state": {"waiting": {"reason": reason, "message": message}},
        "lastState": {"terminated": {"exitCode": 70, "reason": "Error", "message": "paylab: the database is unreachable"}}}]})
}

/// The status of a pod whose container has ended.
pub(crate) fn ended(exit_code: i32, reason: &str, message: &str) -> Value {
    let phase = if exit_code == 0 { "Succeeded" } else { "Failed" };
    json!({"phase": phase, "containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": false,
        "restartCount": 0, "state": {"terminated": {"exitCode": exit_code, "reason": reason, "message": message}}}]})
}

/// The load's Job, created one second after the beginning, when the lab had this fingerprint.
pub(crate) fn job(lab: &Fingerprint, status: Value) -> Option<Job> {
    serde_json::from_value(json!({
        "metadata": {"name": "lesson-load-job", "uid": "uid-of-the-job",
            "annotations": {names::LAB_ANNOTATION: lab.to_string()}, "creationTimestamp": at(1).to_string(),
            "ownerReferences": controlled_by("ConfigMap", "uid-of-the-plan")},
        "status": status,
    }))
    .unwrap()
}

/// A lab whose parts are ready.
pub(crate) fn lab() -> Observed {
    Observed {
        plan: plan(Ownership::Ours),
        deployments: vec![deployment(Part::PaymentService, 1), deployment(Part::ResetProxy, 1)],
        replica_sets: vec![replica_set(Part::PaymentService), replica_set(Part::ResetProxy)],
        job: None,
        pods: vec![pod(Part::PaymentService, "service", ready()), pod(Part::ResetProxy, "proxy", ready())],
        paid_service: None,
        load_refusal: None,
    }
}

/// A lab with a Job and one load pod that has this status.
pub(crate) fn loaded(status: Value) -> Observed {
    let mut observed = lab();
    observed.job = job(&Fingerprint::of(&observed), json!({}));
    observed.pods.push(pod(Part::LoadJob, "load-0", status));
    observed
}
