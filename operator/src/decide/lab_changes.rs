//! Whether the lab is still the one that the load began with: the same pods, and nobody has changed what controls them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{ContainerStateTerminated, Pod},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
    jiff::Timestamp,
};
use kube::ResourceExt as _;
use serde::{Deserialize, Serialize};

use crate::{
    names::LAB_ANNOTATION,
    observe::{
        Observed, jobs,
        pods::{
            all_containers, end_text, ends, has_done_its_work, has_ended, is_ready, last_end, part_name,
            termination_text,
        },
    },
};

/// The lab at one moment. It is written on the load's Job as JSON, because the operator keeps nothing in memory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Fingerprint {
    /// The generation of each Deployment, and of each ReplicaSet that has ready pods, by UID. A generation counts the changes of
    /// a spec, so a lab that was scaled up and down again while nobody looked is seen too.
    controllers: BTreeMap<String, i64>,
    /// How often the containers of each ready pod had ended, by UID.
    pods: BTreeMap<String, i32>,
    /// The UIDs of pods that had ended or were being deleted. They receive no payments and may disappear.
    former: BTreeSet<String>,
}

/// What has happened to a lab since its fingerprint was taken, as sentences.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LabChanges {
    /// What makes the evidence void: a part of it is lost, or payments may have gone elsewhere.
    pub(crate) voiding: Vec<String>,
    /// Containers that ended; their files are still there, so the evidence counts.
    pub(crate) ended: Vec<String>,
}

impl Fingerprint {
    /// The fingerprint of the run's own pods and of what controls them.
    pub(crate) fn of(observed: &Observed) -> Self {
        let lab = observed.run_pods().lab;
        let (former, present): (Vec<_>, Vec<_>) = lab.into_iter().partition(|pod| is_former(pod));
        let ready: Vec<_> = present.into_iter().filter(|pod| is_ready(pod)).collect();
        let has_ready_pods = |meta: &&ObjectMeta| {
            let owns = |pod: &&Pod| pod.owner_references().iter().any(|owner| Some(&owner.uid) == meta.uid.as_ref());
            ready.iter().any(owns)
        };
        let deployments = observed.deployments.iter().map(|deployment| &deployment.metadata);
        let sets = observed.replica_sets.iter().map(|set| &set.metadata).filter(has_ready_pods);
        let generation = |meta: &ObjectMeta| Some((meta.uid.clone()?, meta.generation.unwrap_or_default()));
        Self {
            controllers: deployments.chain(sets).filter_map(generation).collect(),
            pods: ready.iter().filter_map(|pod| Some((pod.uid()?, ends(pod)))).collect(),
            former: former.iter().filter_map(|pod| pod.uid()).collect(),
        }
    }

    /// How many pods are ready.
    pub(crate) fn ready_pods(&self) -> usize {
        self.pods.len()
    }

    /// Whether it contains a pod.
    pub(crate) fn contains(&self, pod: &Pod) -> bool {
        pod.uid().is_some_and(|uid| self.pods.contains_key(&uid) || self.former.contains(&uid))
    }

    /// The changes of this lab until now, the most telling ones first.
    fn changes(&self, observed: &Observed) -> LabChanges {
        let Self { controllers, pods, former: _ } = self;
        let own = observed.run_pods();
        let mut changes = LabChanges::default();
        changes.voiding.extend(controllers.iter().filter_map(|(uid, then)| controller_change(observed, uid, *then)));
        // A Deployment comes before its ReplicaSets, whatever their UIDs are.
        changes.voiding.sort();
        for (uid, ends_then) in pods {
            match own.lab.iter().find(|pod| pod.uid().as_ref() == Some(uid)) {
                None => changes.voiding.push("a pod of the service or of the proxy was deleted".to_owned()),
                Some(pod) if is_former(pod) => {
                    changes.voiding.push(format!("pod {} {}", pod.name_any(), end_text(pod)));
                }
                Some(pod) if ends(pod) != *ends_then => changes.ended.push(end_of_container(pod)),
                Some(_) => {}
            }
        }
        let added = own.lab.iter().filter(|pod| !self.contains(pod));
        changes.voiding.extend(added.map(|pod| format!("pod {} of {} was added", pod.name_any(), part_name(pod))));
        changes.voiding.extend(own.foreign_lab.iter().map(|pod| foreign_lab_pod(pod)));
        changes
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

/// Compares the lab with the fingerprint on the load's Job. Without a readable fingerprint nobody knows what the load began with.
pub(crate) fn lab_changes(observed: &Observed, job: &Job) -> LabChanges {
    let unknown = |why: String| LabChanges { voiding: vec![why], ended: Vec::new() };
    match jobs::lab_at_launch(job).map(serde_json::from_str::<Fingerprint>) {
        None => unknown(format!("the annotation {LAB_ANNOTATION} is missing on the load's Job")),
        Some(Err(error)) => {
            unknown(format!("the annotation {LAB_ANNOTATION} on the load's Job cannot be read: {error}"))
        }
        Some(Ok(fingerprint)) => fingerprint.changes(observed),
    }
}

/// Says that a pod of somebody else stands among the pods of the lab.
pub(super) fn foreign_lab_pod(pod: &Pod) -> String {
    let (name, part) = (pod.name_any(), part_name(pod));
    format!("pod {name} has the labels of this run's {part} but is not controlled by its Deployment")
}

/// How a Deployment or ReplicaSet has changed; nothing if it has not.
fn controller_change(observed: &Observed, uid: &str, generation_then: i64) -> Option<String> {
    let deployments = observed.deployments.iter().map(|deployment| ("Deployment", &deployment.metadata));
    let sets = observed.replica_sets.iter().map(|set| ("ReplicaSet", &set.metadata));
    let found = deployments.chain(sets).find(|(_, meta)| meta.uid.as_deref() == Some(uid));
    let Some((kind, meta)) = found else {
        return Some("a Deployment or ReplicaSet of the service or of the proxy was deleted".to_owned());
    };
    let name = meta.name.as_deref().unwrap_or_default();
    let generation = meta.generation.unwrap_or_default();
    (generation != generation_then).then(|| {
        format!("the {kind} {name} was changed, for example scaled (generation {generation_then}, then {generation})")
    })
}

/// Says which container of a pod ended most recently, and how. It may belong to the cluster, but payments pass through it or wait for it.
fn end_of_container(pod: &Pod) -> String {
    let name = pod.name_any();
    let at_work = all_containers(pod).filter(|container| !has_done_its_work(container));
    let ended = at_work.filter_map(|container| Some((container, last_end(container)?)));
    // Kubernetes does not say when one has ended of which it has lost sight.
    let when = |end: &ContainerStateTerminated| end.finished_at.as_ref().map_or(Timestamp::MAX, |time| time.0);
    match ended.max_by_key(|(_, end)| when(end)) {
        None => format!("a container of pod {name} has ended for an unknown reason"),
        Some((container, end)) => {
            format!("container {} of pod {name} has ended: {}", container.name, termination_text(end))
        }
    }
}

/// Whether a pod has ended or is being deleted.
fn is_former(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some() || has_ended(pod)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        fixtures::{ended, foreign, job, lab, loaded, pod, ready, waiting},
        names::Part,
    };

    /// What makes the evidence of a load void whose lab was changed like this after the launch.
    fn voided_by(change: impl FnOnce(&mut Observed)) -> Vec<String> {
        let mut observed = loaded(ready());
        change(&mut observed);
        let LabChanges { voiding, ended } = lab_changes(&observed, observed.job.as_ref().unwrap());
        assert_eq!(ended, Vec::<String>::new());
        voiding
    }

    #[test]
    fn a_lab_that_stays_as_it_was_voids_nothing() {
        assert_eq!(voided_by(|_| {}), Vec::<String>::new());
        // Load pods are no part of it.
        let more_load = voided_by(|observed| observed.pods.push(pod(Part::LoadJob, "load-1", ready())));
        assert_eq!(more_load, Vec::<String>::new());
    }

    #[test]
    fn every_pod_that_is_lost_or_added_voids_the_evidence_whether_it_is_ready_or_not() {
        let with = |added: Pod| voided_by(|observed| observed.pods.push(added)).join("; ");
        let all = [
            voided_by(|observed| drop(observed.pods.remove(0))).join("; "),
            voided_by(|observed| observed.pods[1] = pod(Part::ResetProxy, "proxy", ended(1, "Error", ""))).join("; "),
            with(pod(Part::PaymentService, "second", ready())),
            with(pod(Part::ResetProxy, "second", waiting("ContainerCreating", ""))),
            with(pod(Part::PaymentService, "second", ended(0, "Completed", ""))),
            with(foreign(pod(Part::PaymentService, "forged", ready()))),
            with(foreign(pod(Part::ResetProxy, "forged", ended(0, "Completed", "")))),
        ];
        expect_test::expect![[r#"
            a pod of the service or of the proxy was deleted
            pod proxy has ended: Error, exit code 1
            pod second of payment-service was added
            pod second of reset-proxy was added
            pod second of payment-service was added
            pod forged has the labels of this run's payment-service but is not controlled by its Deployment
            pod forged has the labels of this run's reset-proxy but is not controlled by its Deployment"#]]
        .assert_eq(&all.join("\n"));
    }

    #[test]
    fn a_lab_that_was_scaled_up_and_down_again_while_nobody_looked_voids_the_evidence() {
        let all = [
            voided_by(|observed| observed.deployments[0].metadata.generation = Some(3)).join("; "),
            voided_by(|observed| observed.replica_sets[1].metadata.generation = Some(2)).join("; "),
            voided_by(|observed| observed.deployments[1].metadata.uid = Some("another".to_owned())).join("; "),
        ];
        expect_test::expect![[r#"
            the Deployment lesson-payment-service was changed, for example scaled (generation 1, then 3)
            the ReplicaSet lesson-reset-proxy-set was changed, for example scaled (generation 1, then 2)
            a Deployment or ReplicaSet of the service or of the proxy was deleted"#]]
        .assert_eq(&all.join("\n"));
    }

    #[test]
    fn without_a_readable_fingerprint_the_evidence_is_void() {
        let annotated = |annotation: Option<&str>| {
            voided_by(|observed| {
                let annotations = annotation.map(|text| [(LAB_ANNOTATION.to_owned(), text.to_owned())].into());
                observed.job.as_mut().unwrap().metadata.annotations = annotations;
            })
            .join("; ")
        };
        assert_eq!(annotated(None), "the annotation paylab.dev/lab is missing on the load's Job");
        for unreadable in ["", "uid/0,uid/0", "{}", r#"{"controllers":{},"pods":{},"former":[],"more":1}"#] {
            let why = annotated(Some(unreadable));
            assert!(why.starts_with("the annotation paylab.dev/lab on the load's Job cannot be read: "), "{why}");
        }
    }

    /// A container that somebody else has put into a pod.
    fn mesh(restarts: i32, state: &Value, last: &Value) -> Value {
        json!({"name": "mesh", "image": "", "imageID": "", "ready": state.get("running").is_some(), "restartCount": restarts,
            "state": state, "lastState": last})
    }

    fn ended_at(time: Option<&str>, exit_code: i32) -> Value {
        json!({"terminated": {"exitCode": exit_code, "reason": "Error", "finishedAt": time}})
    }

    /// A lab whose service has ended once and has such a container in this field of its pod's status, behind one that has done its work.
    fn lab_with(field: &str, mesh: Value) -> Observed {
        let mut status = ready();
        status["containerStatuses"][0]["lastState"] = ended_at(Some("2026-11-27T14:00:00Z"), 1);
        status["containerStatuses"][0]["restartCount"] = json!(1);
        let done = json!({"name": "init", "image": "", "imageID": "", "ready": true, "restartCount": 0,
            "state": {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": "2026-11-27T16:00:00Z"}}});
        status["initContainerStatuses"] = json!([done]);
        status[field].as_array_mut().unwrap().push(mesh);
        Observed { pods: vec![pod(Part::PaymentService, "service", status), lab().pods.remove(1)], ..lab() }
    }

    #[test]
    fn every_end_of_a_container_is_a_doubt_whoever_has_put_it_there_and_whether_it_runs_again_or_not() {
        let former = ended_at(Some("2026-11-27T13:00:00Z"), 1);
        let running = json!({"running": {"startedAt": "2026-11-27T15:00:01Z"}});
        let backing_off = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        for field in ["containerStatuses", "initContainerStatuses"] {
            let job = job(&Fingerprint::of(&lab_with(field, mesh(1, &running, &former))), json!({})).unwrap();
            let told = |restarts: i32, state: &Value, last: &Value| {
                let LabChanges { voiding, ended } = lab_changes(&lab_with(field, mesh(restarts, state, last)), &job);
                assert_eq!(voiding, Vec::<String>::new());
                ended.join("; ")
            };
            assert_eq!(told(1, &running, &former), "");
            for (time, exit_code) in [(Some("2026-11-27T15:00:00Z"), 3), (None, 3), (Some("2026-11-27T15:00:00Z"), 0)] {
                let end = ended_at(time, exit_code);
                let ended = format!("container mesh of pod service has ended: Error, exit code {exit_code}");
                assert_eq!(told(2, &running, &end), ended);
                assert_eq!(told(1, &end, &former), ended);
                assert_eq!(told(1, &backing_off, &end), ended);
            }
        }
    }

    #[test]
    fn a_pod_that_had_ended_before_the_launch_may_disappear_or_stay() {
        let mut observed = lab();
        observed.pods.push(pod(Part::PaymentService, "evicted", json!({"phase": "Failed", "reason": "Evicted"})));
        let fingerprint = Fingerprint::of(&observed);
        assert_eq!(fingerprint.ready_pods(), 2);
        observed.job = job(&fingerprint, json!({}));
        let job = observed.job.clone().unwrap();
        assert_eq!(lab_changes(&observed, &job), LabChanges::default());
        observed.pods.pop();
        assert_eq!(lab_changes(&observed, &job), LabChanges::default());
    }
}
