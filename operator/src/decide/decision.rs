//! Where an experiment stands and what is to be done next: one pure decision over all that was seen.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::Deployment, batch::v1::Job};
use paylab_experiment::status::Phase;

use crate::{
    names::{self, LAB_ANNOTATION, Part},
    observe::pods::{self, Patience, Trouble},
    observe::{Observed, Ownership},
    planned::Run,
};

/// What every pod goes through on its way is no trouble before this time.
const WORTH_TELLING_AFTER: Duration = Duration::from_secs(10);
/// The bounds of the time between two looks at parts that start, for a change that was not told.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(2));
/// A trouble that may be a hiccup is given so long.
const SHORT_PATIENCE: Duration = Duration::from_secs(60);

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Objects of the lab are missing.
    Build,
    /// The parts are starting.
    Prepare(Option<Trouble>),
    /// All parts are ready; the load's Job is to be made, with this fingerprint of the lab.
    Launch(String),
    /// The load runs, or is about to.
    Load(Option<Trouble>),
    /// The load has ended, or never will; the evidence is to be judged.
    Judge,
    /// There will be no verdict.
    Fail(Trouble),
}

/// Decides. `begun` is what the status says of the past: since when, and which phase was last written.
pub(crate) fn decide(run: &Run, observed: &Observed, begun: (Timestamp, Option<Phase>), now: Timestamp) -> Stage {
    let (since, phase) = begun;
    match (&observed.plan, &observed.job) {
        (_, Some(job)) => loading(run, observed, job, now),
        // It was launched once and is gone; it is never launched again.
        (_, None) if phase == Some(Phase::Loading) => Stage::Judge,
        (Some((Ownership::Foreign, plan)), None) => Stage::Fail(taken("ConfigMap", plan.metadata.name.as_deref())),
        (Some((Ownership::Former, _)), None) => waiting(run, former(), elapsed(since, now)),
        (None, None) => Stage::Build,
        (Some((Ownership::Ours, _)), None) => preparing(run, observed, since, now),
    }
}

/// An object with one of our names that will be gone soon.
pub(crate) fn former() -> Trouble {
    let message = "the parts of a former experiment of this name are still being removed";
    Trouble::new("FormerRun", message, Patience::Long)
}

/// An object with one of our names that is not ours.
pub(crate) fn taken(kind: &str, name: Option<&str>) -> Trouble {
    let name = name.unwrap_or_default();
    let message = format!(
        "a {kind} named {name} is already there and is not Paylab's; remove it, or give the experiment another name"
    );
    Trouble::new("NameTaken", message, Patience::None)
}

fn preparing(run: &Run, observed: &Observed, since: Timestamp, now: Timestamp) -> Stage {
    let parts = [(Part::PaymentService, run.spec.service.replicas), (Part::ResetProxy, 1)];
    let found = parts.map(|(part, replicas)| (deployment(run, observed, part), replicas));
    if found.iter().any(|(deployment, _)| deployment.is_none()) {
        return Stage::Build;
    }
    let lab = pods::fingerprint(&observed.pods);
    let wanted: i32 = parts.iter().map(|(_, replicas)| replicas).sum();
    let available = found.iter().all(|(deployment, replicas)| deployment.is_some_and(|it| is_available(it, *replicas)));
    if available && lab.split(',').count() == usize::try_from(wanted).unwrap_or_default() {
        return Stage::Launch(lab);
    }
    let not_made = found.iter().filter_map(|(deployment, _)| pods::not_made((*deployment)?));
    let trouble = not_made.chain(pods::worst(&observed.pods)).min_by_key(|trouble| trouble.patience);
    let waited = elapsed(since, now);
    match trouble {
        Some(trouble) => waiting(run, trouble, waited),
        None if waited > run.plan.deadline => {
            let message = format!("the parts were not ready within {} (spec.activeDeadline)", run.spec.active_deadline);
            Stage::Fail(Trouble::new("DeadlineExceeded", message, Patience::None))
        }
        None => Stage::Prepare(None),
    }
}

/// While there is hope.
pub(crate) fn waiting(run: &Run, trouble: Trouble, waited: Duration) -> Stage {
    if is_hopeless(run, &trouble, waited) {
        Stage::Fail(trouble)
    } else {
        Stage::Prepare(Some(trouble).filter(|trouble| is_worth_telling(trouble, waited)))
    }
}

fn loading(run: &Run, observed: &Observed, job: &Job, now: Timestamp) -> Stage {
    let load: Vec<_> = observed.pods.iter().filter(|pod| pods::is(pod, Part::LoadJob)).cloned().collect();
    let has_reported = |shard| load.iter().any(|pod| pods::shard(pod) == Some(shard) && pods::has_reported(pod));
    let all_reported = (0..run.plan.client.workers).all(has_reported);
    if all_reported || has_finished(job) {
        return Stage::Judge;
    }
    let stuck: Vec<_> = load.into_iter().filter(|pod| !pods::has_reported(pod)).collect();
    let waited = load_age(job, now);
    match pods::worst(&stuck) {
        Some(trouble) if is_hopeless(run, &trouble, waited) => Stage::Judge,
        trouble => Stage::Load(trouble.filter(|trouble| is_worth_telling(trouble, waited))),
    }
}

fn is_worth_telling(trouble: &Trouble, waited: Duration) -> bool {
    trouble.patience < Patience::Long || waited > WORTH_TELLING_AFTER
}

fn is_hopeless(run: &Run, trouble: &Trouble, waited: Duration) -> bool {
    waited > run.plan.deadline
        || match trouble.patience {
            Patience::None => true,
            Patience::Short => waited > SHORT_PATIENCE,
            Patience::Long => false,
        }
}

/// The time at which a decision may turn out otherwise though nothing has changed.
pub(crate) fn next_deadline(run: &Run, since: Timestamp, now: Timestamp) -> Duration {
    let waited = elapsed(since, now);
    let bounds = [WORTH_TELLING_AFTER, SHORT_PATIENCE, run.plan.deadline];
    let next = bounds.into_iter().filter(|bound| *bound > waited).min().unwrap_or(waited);
    (next - waited).clamp(LOOK_EVERY.0, LOOK_EVERY.1)
}

fn deployment<'a>(run: &Run, observed: &'a Observed, part: Part) -> Option<&'a Deployment> {
    let name = names::part(&run.name, part);
    observed.deployments.iter().find(|deployment| deployment.metadata.name.as_ref() == Some(&name))
}

fn is_available(deployment: &Deployment, replicas: i32) -> bool {
    let status = deployment.status.as_ref();
    let seen = status.and_then(|status| status.observed_generation) >= deployment.metadata.generation;
    seen && status.and_then(|status| status.available_replicas) == Some(replicas)
}

/// Whether the Job's controller has closed it.
pub(crate) fn has_finished(job: &Job) -> bool {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|one| matches!(one.type_.as_str(), "Complete" | "Failed") && one.status == "True")
}

/// The fingerprint of the lab that the load began with.
pub(crate) fn lab_at_launch(job: &Job) -> &str {
    job.metadata.annotations.as_ref().and_then(|all| all.get(LAB_ANNOTATION)).map_or("", String::as_str)
}

/// How long ago the load's Job was made.
pub(crate) fn load_age(job: &Job, now: Timestamp) -> Duration {
    elapsed(job.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0), now)
}

pub(crate) fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::{at, deployment, ended, job, lab, loaded, plan, pod, ready, run, waiting};

    /// What is decided at a second of the story that began at 0.
    fn decided(observed: &Observed, phase: Option<Phase>, second: i64) -> Stage {
        decide(&run(&json!({"activeDeadline": "5m"})), observed, (at(0), phase), at(second))
    }

    fn reason(stage: &Stage) -> Option<&str> {
        match stage {
            Stage::Prepare(trouble) | Stage::Load(trouble) => trouble.as_ref().map(|trouble| trouble.reason.as_str()),
            Stage::Fail(trouble) => Some(&trouble.reason),
            Stage::Build | Stage::Launch(_) | Stage::Judge => None,
        }
    }

    #[test]
    fn an_experiment_goes_from_nothing_to_its_verdict() {
        assert_eq!(decided(&Observed::default(), None, 0), Stage::Build);
        let half = Observed {
            plan: plan(Ownership::Ours),
            deployments: vec![deployment(Part::ResetProxy, 0)],
            ..Observed::default()
        };
        assert_eq!(decided(&half, Some(Phase::Preparing), 1), Stage::Build);
        let starting = Observed {
            deployments: vec![deployment(Part::PaymentService, 0), deployment(Part::ResetProxy, 1)],
            ..lab()
        };
        assert_eq!(decided(&starting, Some(Phase::Preparing), 1), Stage::Prepare(None));
        let all = "uid-of-proxy/0,uid-of-service/0".to_owned();
        assert_eq!(decided(&lab(), Some(Phase::Preparing), 1), Stage::Launch(all));
        assert_eq!(decided(&loaded(ready()), Some(Phase::Loading), 2), Stage::Load(None));
        assert_eq!(decided(&loaded(ended(0, "Completed", "{}")), Some(Phase::Loading), 3), Stage::Judge);
    }

    #[test]
    fn a_job_is_launched_once() {
        // The Job is there though the status does not know it yet: the operator died in between.
        assert_eq!(decided(&loaded(ready()), Some(Phase::Preparing), 2), Stage::Load(None));
        // The status knows of a load whose Job is gone.
        assert_eq!(decided(&lab(), Some(Phase::Loading), 2), Stage::Judge);
        assert_eq!(decided(&Observed::default(), Some(Phase::Loading), 2), Stage::Judge);
    }

    #[test]
    fn names_of_others_are_not_taken_over() {
        let observed = |ownership| Observed { plan: plan(ownership), ..Observed::default() };
        let former = observed(Ownership::Former);
        assert_eq!(decided(&former, None, 1), Stage::Prepare(None));
        assert_eq!(reason(&decided(&former, None, 11)), Some("FormerRun"));
        assert!(matches!(decided(&former, None, 301), Stage::Fail(_)));
        assert_eq!(reason(&decided(&observed(Ownership::Foreign), None, 0)), Some("NameTaken"));
    }

    #[test]
    fn every_trouble_of_the_parts_ends_in_bounded_time_with_its_own_reason() {
        let unschedulable = json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}]});
        let crash = waiting("CrashLoopBackOff", "back-off");
        // It runs for a moment, and nothing of its last end is forgotten.
        let mut running = crash.clone();
        running["phase"] = json!("Running");
        running["containerStatuses"][0]["state"] = json!({"running": {}});
        for (status, bearable, hopeless) in [
            (running, Some(59), 61),
            (waiting("ErrImageNeverPull", "not present"), None, 0),
            (waiting("InvalidImageName", "bad"), None, 0),
            (waiting("ImagePullBackOff", "no such image"), Some(59), 61),
            (waiting("CreateContainerConfigError", "secret \"x\" not found"), Some(59), 61),
            (crash, Some(59), 61),
            (unschedulable, Some(299), 301),
            (waiting("ContainerCreating", ""), Some(299), 301),
        ] {
            let mut observed = lab();
            observed.deployments[0] = deployment(Part::PaymentService, 0);
            observed.pods[0] = pod(Part::PaymentService, "service", status.clone());
            let late = decided(&observed, Some(Phase::Preparing), hopeless);
            assert!(
                matches!(&late, Stage::Fail(trouble) if trouble.message.contains("pod service")),
                "{status}: {late:?}"
            );
            if let Some(second) = bearable {
                let early = decided(&observed, Some(Phase::Preparing), second);
                assert!(matches!(early, Stage::Prepare(Some(_))), "{status}: {early:?}");
                assert_eq!(reason(&early), reason(&late));
            }
        }
    }

    #[test]
    fn pods_that_cannot_be_made_fail_with_what_the_quota_says() {
        let mut observed = lab();
        observed.pods.clear();
        observed.deployments[0] = serde_json::from_value(json!({
            "metadata": {"name": "lesson-payment-service"},
            "status": {"conditions": [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
                "message": "exceeded quota: pods=0"}]},
        }))
        .unwrap();
        let failed = decided(&observed, Some(Phase::Preparing), 61);
        assert!(matches!(&failed, Stage::Fail(trouble) if trouble.message.contains("exceeded quota")), "{failed:?}");
    }

    #[test]
    fn a_load_that_cannot_start_or_is_closed_is_judged_all_the_same() {
        let stuck = loaded(waiting("ImagePullBackOff", "no such image"));
        assert_eq!(reason(&decided(&stuck, Some(Phase::Loading), 30)), Some("ImagePullBackOff"));
        let starting = loaded(waiting("ContainerCreating", ""));
        assert_eq!(decided(&starting, Some(Phase::Loading), 5), Stage::Load(None));
        assert_eq!(decided(&stuck, Some(Phase::Loading), 63), Stage::Judge);
        let mut closed = lab();
        closed.job = job(
            &closed.pods,
            json!({"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]}),
        );
        assert_eq!(decided(&closed, Some(Phase::Loading), 30), Stage::Judge);
    }

    #[test]
    fn a_load_is_judged_only_when_every_share_has_ended() {
        let run = run(&json!({"client": {"workers": 2}}));
        let mut observed = loaded(ended(0, "Completed", "{}"));
        let stage = |observed: &Observed| decide(&run, observed, (at(0), Some(Phase::Loading)), at(2));
        assert_eq!(stage(&observed), Stage::Load(None));
        observed.pods.push(pod(Part::LoadJob, "load-1", ended(137, "OOMKilled", "")));
        assert_eq!(stage(&observed), Stage::Judge);
    }
}
