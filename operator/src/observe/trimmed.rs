//! What is kept of a watched object: what decides what to do next, and nothing else. So thousands of pods take little memory. Pure.

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec},
        batch::v1::Job,
        core::v1::{Container, Pod, PodSpec, PodStatus},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::Resource;

use super::pods::is_part;
use crate::names::Part;

/// Keeps whose an object is, and how often its spec was changed.
pub(crate) fn metadata(object: &mut impl Resource) {
    let meta = std::mem::take(object.meta_mut());
    *object.meta_mut() = ObjectMeta {
        name: meta.name,
        namespace: meta.namespace,
        uid: meta.uid,
        generation: meta.generation,
        deletion_timestamp: meta.deletion_timestamp,
        labels: meta.labels,
        owner_references: meta.owner_references,
        ..ObjectMeta::default()
    };
}

/// Keeps whether a Deployment is to run, and whether it does.
pub(crate) fn deployment(deployment: &mut Deployment) {
    metadata(deployment);
    deployment.spec =
        deployment.spec.take().map(|spec| DeploymentSpec { replicas: spec.replicas, ..DeploymentSpec::default() });
}

/// Keeps how far a Job is.
pub(crate) fn job(job: &mut Job) {
    metadata(job);
    job.spec = None;
}

/// Keeps what a pod waits for, what it says of its containers, and where it is. The report of a load is evidence, which is never taken from here.
pub(crate) fn pod(pod: &mut Pod) {
    metadata(pod);
    let probes = |container: Container| Container {
        name: container.name,
        startup_probe: container.startup_probe,
        readiness_probe: container.readiness_probe,
        ..Container::default()
    };
    pod.spec = pod
        .spec
        .take()
        .map(|spec| PodSpec { containers: spec.containers.into_iter().map(probes).collect(), ..PodSpec::default() });
    let is_load = is_part(pod, Part::LoadJob);
    pod.status = pod.status.take().map(|status| PodStatus {
        phase: status.phase,
        reason: status.reason,
        message: status.message,
        conditions: status.conditions,
        pod_ip: status.pod_ip,
        init_container_statuses: status.init_container_statuses,
        container_statuses: status.container_statuses,
        ..PodStatus::default()
    });
    let statuses = pod.status.iter_mut().flat_map(|status| status.container_statuses.iter_mut().flatten());
    for terminated in statuses.filter_map(|one| one.state.as_mut()?.terminated.as_mut()).filter(|_| is_load) {
        terminated.message = None;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        decide::{Timeline, decide},
        fixtures::{at, ended, foreign, lab, loaded, planned, ready, waiting},
        observe::Observed,
    };

    fn trimmed(mut observed: Observed) -> Observed {
        observed.pods.iter_mut().for_each(pod);
        observed.deployments.iter_mut().for_each(deployment);
        observed.replica_sets.iter_mut().for_each(metadata);
        observed.job.iter_mut().for_each(job);
        observed
    }

    #[test]
    fn what_is_kept_decides_as_the_whole_does() {
        use paylab_resource::status::Phase::{Loading, Preparing};
        let experiment = planned(&json!({}));
        let mut unscheduled = lab();
        unscheduled.pods[0] = crate::fixtures::pod(
            Part::PaymentService,
            "service",
            json!({"phase": "Pending", "conditions": [
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no node"}]}),
        );
        let mut crashing = lab();
        crashing.pods[1] = crate::fixtures::pod(Part::ResetProxy, "proxy", waiting("CrashLoopBackOff", "back-off 5m"));
        let mut unanswered = lab();
        unanswered.pods[0] = serde_json::from_value(json!({
            "metadata": unanswered.pods[0].metadata,
            "spec": {"containers": [{"name": "payment-service", "image": "x",
                "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}}}]},
            "status": {"phase": "Running", "containerStatuses": [{"name": "payment-service", "image": "", "imageID": "",
                "ready": false, "restartCount": 0, "state": {"running": {}}}]},
        }))
        .unwrap();
        let mut refused = lab();
        refused.deployments[0].status = serde_json::from_value(json!({"conditions": [
            {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}]}))
        .unwrap();
        let mut forged = lab();
        forged.pods.push(foreign(forged.pods[0].clone()));
        let mut failed = loaded(ready());
        failed.job.as_mut().unwrap().status = serde_json::from_value(json!({"conditions": [
            {"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]}))
        .unwrap();
        let mut unsteady = lab();
        unsteady.pods[0] = crate::fixtures::pod(Part::PaymentService, "service", crate::fixtures::restarted(8));
        let starting = [lab(), unscheduled, crashing, unanswered, refused, forged, unsteady];
        let under_way =
            [loaded(ready()), loaded(ended(0, "Completed", "{}")), loaded(waiting("ErrImagePull", "x")), failed];
        let all = starting.map(|one| (Preparing, one)).into_iter().chain(under_way.map(|one| (Loading, one)));
        for (phase, whole) in all {
            for second in [2, 12, 62] {
                let launched = (phase == Loading).then(|| at(1));
                let timeline = Timeline { started: at(0), last_phase: Some(phase), launched, now: at(second) };
                let decision = decide(&experiment, &whole, &timeline);
                assert_eq!(decide(&experiment, &trimmed(whole.clone()), &timeline), decision, "{whole:?}");
            }
        }
    }

    #[test]
    fn what_is_kept_of_a_load_is_no_evidence_and_small() {
        let mut load = loaded(ended(0, "Completed", &"x".repeat(4096))).pods.pop().unwrap();
        load.metadata.annotations = Some([("a".to_owned(), "y".repeat(4096))].into());
        pod(&mut load);
        let kept = json!(load).to_string();
        assert!(kept.len() < 1024, "{kept}");
    }
}
